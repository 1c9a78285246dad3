import UrsaBase
import UrsaDisk

/// `ursa image dd`
enum DuplicateImage: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "dd", abstract: "Copy a part of an image into a new one.",
        operands: "[bs=SIZE] [count=N] [skip=N] if=FILE of=NEW",
        options: [
            .format("Format of what is read"), .option("O", "FMT", "Format of NEW; left out: raw"), .share, .json,
            .allow, .trusted, .imageOptions, .object,
        ],
        discussion: """
              bs=SIZE   size of a block; left out: 512
              count=N   copy so many blocks; left out: all
              skip=N    leave out so many blocks at the beginning
              if=FILE   the image to read
              of=NEW    the image to make

            Example:
              {} dd -f qcow2 -O raw bs=1M count=64 if=disk.qcow2 of=start.img
            """)

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        var values: [String: String] = [:]
        for operand in words.operands {
            let parts = operand.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, ["bs", "count", "skip", "if", "of"].contains(parts[0]) else {
                throw words.wrong("'\(printable(operand))' is none of bs=, count=, skip=, if=, of=")
            }
            values[parts[0]] = parts[1]
        }
        guard let input = values["if"], let output = values["of"], !input.isEmpty, !output.isEmpty else {
            throw words.wrong("if= and of= must both be there", "name what is read and what is made")
        }
        let block = try values["bs"].map { (text) throws(UrsaError) in try words.size(text, of: "bs") } ?? 512
        guard (1...UInt64(Int32.max)).contains(block) else {
            throw words.wrong("blocks of \(block) bytes can't be", "write bs=1M")
        }
        let count = try values["count"].map { (text) throws(UrsaError) in try words.size(text, of: "count") }
        let skip = try values["skip"].map { (text) throws(UrsaError) in try words.size(text, of: "skip") } ?? 0
        let name = words.value("O") ?? "raw"
        if try ImageDoor.mustTake(words, read: [(input, words.value("f"))], written: [name])
            || QEMUImage.isProtocol(output)
        {
            return try QEMUImage.handOn(call)
        }
        guard let format = DiskFormat(rawValue: name) else { throw UrsaError(.bug, "a format that is not known") }
        let door = ImageDoor(words)
        let image = try door.reader(input, format: words.value("f"))
        // As qemu-img has it, count is counted from the beginning of what is read: skipped blocks are among them.
        let start = skip.multipliedReportingOverflow(by: block)
        let counted = (count ?? .max).multipliedReportingOverflow(by: block)
        let end = min(image.size, counted.overflow ? .max : counted.partialValue)
        let from = start.overflow ? end : min(start.partialValue, end)
        let part = WindowReader(image, start: from, count: end - from)
        let progress = ImageProgress("copying", words)
        try ImageCopy(source: part, options: CopyOptions(), compress: false, progress: progress.handler)
            .make(QEMUImage.path(output), format, door, words)
        if Screen.isJSON { Screen.json(ImageCopy.result(output, format, part.size)) }
        return 0
    }
}
