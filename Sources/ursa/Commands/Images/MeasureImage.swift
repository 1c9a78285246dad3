import UrsaBase
import UrsaDisk

/// `ursa image measure`
enum MeasureImage: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "measure", abstract: "Say how large the file of a new image would be.", operands: "[--size SIZE | FILE]",
        options: [
            .option("O", "FMT", "Format of the new image: raw (if left out) or qcow2"),
            .option("o", "OPTIONS", "Options of the new image, as of `create`"), .format(),
            .option(nil, "size", "SIZE", "Size of an image with nothing in it"),
            .option("l", "SNAPSHOT", "Measure a snapshot of FILE"), .output, .json, .share, .allow, .trusted,
            .imageOptions,
            .object,
        ],
        discussion: """
            Two sizes: what the data there is now needs, and what the image needs when
            everything has been written. Other formats than raw and qcow2 are measured by
            qemu-img.

            Examples:
              {} measure -O qcow2 --size 20G
              {} measure -O qcow2 -f raw disk.img
            """)

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let size = try words.size("size", spelled: "--size")
        let target = words.value("O") ?? "raw"
        if size != nil, let extra = words.operands.first {
            throw words.wrong("--size is there, and so is '\(printable(extra))'", "give one of them")
        }
        var source: (any DiskReader)?
        if size == nil {
            let file = try words.operands("FILE")[0]
            let options = try KeyValues(words.all("o"), words)
            // Encryption takes room, too; only qemu-img knows how much.
            let isForeign = try ImageDoor.mustTake(words, read: [(file, words.value("f"))], written: [target])
            if isForeign || options.pairs.contains(where: { $0.name.hasPrefix("encrypt") }) {
                return try QEMUImage.handOn(call)
            }
            source = try ImageDoor(words).reader(file, format: words.value("f"), snapshot: words.value("l"))
        } else if QEMUImage.mustTake(words, read: [], written: [target]) {
            return try QEMUImage.handOn(call)
        }
        let (measured, clusterSize) = try measure(source, size ?? source?.size ?? 0, target, words)
        // Bitmaps of the source could be copied, too.
        let bitmaps: UInt64?
        if target == "qcow2", let source, words.value("l") == nil {
            bitmaps = try ImageDoor.bitmapBytes(source, clusterSize: clusterSize)
        } else {
            bitmaps = nil
        }
        if try words.wantsJSON {
            Screen.json(
                .record([
                    "bitmaps": bitmaps.map { .integer(Int64(clamping: $0)) },
                    "required": .integer(Int64(clamping: measured.required)),
                    "fully-allocated": .integer(Int64(clamping: measured.fullyAllocated)),
                ]))
            return 0
        }
        Screen.line("required size: \(measured.required)")
        Screen.line("fully allocated size: \(measured.fullyAllocated)")
        if let bitmaps { Screen.line("bitmaps size: \(bitmaps)") }
        return 0
    }

    private static func measure(
        _ source: (any DiskReader)?, _ size: UInt64, _ target: String, _ words: ImageWords
    ) throws(UrsaError) -> (Measurement, clusterSize: UInt64) {
        guard target == "qcow2" else { return (.raw(size: roundUp512(size)), 0) }
        let options = try CreationOptions(format: .qcow2, words)
        let measured = try Measurement.qcow2(
            size: roundUp512(size), source: source, clusterSize: options.clusterSize,
            refcountBits: options.refcountBits, extendedL2: options.extendedL2,
            hasBacking: options.backingFile != nil,
            isPreallocated: options.preallocation == .falloc || options.preallocation == .full)
        return (measured, options.clusterSize)
    }

    private static func roundUp512(_ size: UInt64) -> UInt64 { size > .max - 511 ? size : (size + 511) & ~511 }
}
