import UrsaBase
import UrsaDisk

/// `ursa image compare`
enum CompareImages: ImageVerb {
    static let failure: Int32 = 2
    static let syntax = ImageSyntax(
        verb: "compare", abstract: "Say whether two images hold the same.", operands: "FILE1 FILE2",
        options: [
            .format("Format of FILE1"), .option("F", "FMT", "Format of FILE2"),
            .flag("s", "Strict: sizes and what is allocated must be equal, too"), .sourceCache, .progress, .quiet,
            .share, .json, .allow, .trusted, .imageOptions, .object,
        ],
        discussion: """
            An image that is longer than the other must hold zeros in the rest.

            Exit status: 0 equal, 1 different, 2 an image can't be opened or the
            command line is wrong, 3 the tables of an image can't be read, 4 data
            can't be read. Other formats than ours go through qemu-img.

            Example:
              {} compare -f raw -F qcow2 disk.img disk.qcow2
            """)

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let files = try words.operands("FILE1", "FILE2")
        let read = [(name: files[0], format: words.value("f")), (name: files[1], format: words.value("F"))]
        if try ImageDoor.mustTake(words, read: read) { return try QEMUImage.handOn(call) }
        let door = ImageDoor(words)
        let first = try door.reader(files[0], format: words.value("f"))
        let second = try door.reader(files[1], format: words.value("F"))
        let progress = ImageProgress("comparing", words)
        let strict = words.has("s")
        let isQuiet = words.has("q") || Screen.isJSON
        if !strict, first.size != second.size, !isQuiet { Screen.line("Warning: Image size mismatch!") }
        let result: Comparison
        do throws(UrsaError) {
            result = try Comparison.compare(
                first, second, strict: strict,
                progress: ProgressCounter("comparing", total: max(first.size, second.size), progress.handler))
        } catch {
            Screen.fail(error)
            return 4
        }
        progress.finish()
        if Screen.isJSON { Screen.json(json(result)) } else if !isQuiet { Screen.line(text(result)) }
        return result == .identical ? 0 : 1
    }

    private static func text(_ result: Comparison) -> String {
        switch result {
        case .identical: "Images are identical."
        case .differs(let offset): "Content mismatch at offset \(offset)!"
        case .allocationDiffers(let offset): "Strict mode: Offset \(offset) block status mismatch!"
        case .sizeDiffers: "Strict mode: Image size mismatch!"
        }
    }

    private static func json(_ result: Comparison) -> JSON {
        switch result {
        case .identical: .record(["identical": true])
        case .differs(let offset):
            .record(["identical": false, "reason": "content", "offset": .integer(Int64(clamping: offset))])
        case .allocationDiffers(let offset):
            .record(["identical": false, "reason": "allocation", "offset": .integer(Int64(clamping: offset))])
        case .sizeDiffers: .record(["identical": false, "reason": "size"])
        }
    }
}
