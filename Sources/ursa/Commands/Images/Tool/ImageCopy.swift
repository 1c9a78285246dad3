import Glibc
import UrsaBase
import UrsaDisk

/// A disk that is read and where it goes: what `convert` and `dd` have in common.
struct ImageCopy {
    let source: any DiskReader
    let options: CopyOptions
    let compress: Bool
    let progress: ProgressHandler

    /// Whether the cache mode of `-t` wants what was written to be on stable storage at the end; `unsafe` if left out.
    static func isDurable(_ words: ImageWords, default mode: String = "unsafe") throws(UrsaError) -> Bool {
        let text = words.value("t") ?? mode
        guard ["none", "writeback", "writethrough", "directsync", "unsafe"].contains(text) else {
            throw words.wrong(
                "'\(printable(text))' is no cache mode", "write none, writeback, writethrough, directsync or unsafe")
        }
        return text != "unsafe"
    }

    /// Whether a path can be replaced by a new file: there is a plain file, or nothing.
    static func isReplaceable(_ path: String) -> Bool {
        guard let status = File.status(path) else { return true }
        return status.st_mode & S_IFMT == S_IFREG
    }

    /// Copies into a new image.
    func make(
        _ path: String, _ format: DiskFormat, _ door: ImageDoor, _ words: ImageWords
    ) throws(UrsaError) {
        var new = try CreationOptions(format: format, words)
        if let base = words.value("B") { new.backingFile = base }
        let baseFormat = words.value("F")
        if let baseFormat { new.backingFormat = baseFormat }
        let size = (source.size + 511) & ~511
        if let wanted = new.size, wanted < source.size {
            throw words.wrong("a disk of \(wanted) bytes does not hold \(source.size)", "leave size out of -o")
        }
        let durable = try ImageCopy.isDurable(words)
        guard ImageCopy.isReplaceable(path) else {
            guard format == .raw else {
                throw UrsaError(
                    .unsupported, "this is no plain file", place: path,
                    remedy: "make the image there with `qemu-img create`, then convert with -n")
            }
            return try intoDevice(path, durable)
        }
        var upper: (any DiskReader)?
        if let base = new.backingFile {
            guard format == .qcow2 else {
                throw words.wrong("a raw image can't be made over another", "write -O qcow2")
            }
            guard let baseFormat = new.backingFormat else {
                throw words.wrong(
                    "the format of '\(printable(base))' is missing", "write it with -F: -F qcow2 or -F raw")
            }
            // It must be there: what is left out of the new image is read from it.
            _ = try door.reader(ImageDoor.beside(path, QEMUImage.path(base)), format: baseFormat)
            upper = LayersReader(source, depth: 1)
        }
        try NewImage(path, new, size: max(size, new.size ?? 0)).makeFilled(durable: durable) {
            (file) throws(UrsaError) in
            try Conversion.fill(
                file, format: format, from: source, upper: upper, compress: compress, options: options,
                progress: progress)
        }
    }

    private func intoDevice(_ path: String, _ durable: Bool) throws(UrsaError) {
        let device = try ImageFile(path, .init(writable: true))
        guard device.size >= source.size else {
            throw UrsaError(
                .conflict, "the device has \(device.size) bytes, the image \(source.size)", place: path,
                remedy: "use a larger device")
        }
        try Conversion.copy(source, toDevice: device, options: options, progress: progress)
        if durable { try device.sync() }
    }

    /// Copies into an image that is there.
    func into(_ path: String, format: String?, _ door: ImageDoor, _ words: ImageWords) throws(UrsaError) {
        let durable = try ImageCopy.isDurable(words)
        guard File.exists(path) else {
            throw UrsaError(
                .notFound, "there is no image to write into", place: path, remedy: "leave -n out to make it")
        }
        let writer = try door.writer(path, format: format ?? "raw")
        guard writer.size >= source.size else {
            throw UrsaError(
                .conflict, "the image has \(writer.size) bytes, what is read \(source.size)", place: path,
                remedy:
                    "enlarge it with `\(words.place.split(separator: " ").dropLast().joined(separator: " ")) resize`")
        }
        let isZero = words.has("target-is-zero")
        if isZero, writer.backing != nil {
            throw words.wrong("an image over another does not read as zeros", "leave --target-is-zero out")
        }
        try Conversion.copy(source, into: writer, isZero: isZero, options: options, progress: progress)
        if durable { try writer.flush() }
        try writer.close()
    }

    /// What `--json` prints of a new image.
    static func result(_ name: String, _ format: DiskFormat, _ size: UInt64) -> JSON {
        let blocks = File.status(QEMUImage.path(name)).map { UInt64(max(0, $0.st_blocks)) * 512 }
        return .record([
            "filename": .string(name), "format": .string(format.rawValue),
            "virtual-size": .integer(Int64(clamping: (size + 511) & ~511)),
            "actual-size": blocks.map { .integer(Int64(clamping: $0)) },
        ])
    }
}
