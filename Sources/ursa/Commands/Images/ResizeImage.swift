import UrsaBase
import UrsaDisk

/// `ursa image resize`
enum ResizeImage: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "resize", abstract: "Make the disk of an image larger or smaller.", operands: "FILE [+|-]SIZE",
        options: [
            .format(), .flag(nil, "shrink", "Yes, cut off what lies past the new end"),
            .option(nil, "preallocation", "MODE", "Space for what is added: off, metadata, falloc, full"), .quiet,
            .json, .allow, .trusted, .imageOptions, .object,
        ],
        discussion: """
            The guest's own partitions and file systems stay as they are. The format must be
            given with -f unless the image is recognisably qcow2.

            Examples:
              {} resize disk.qcow2 +10G
              {} resize -f raw --shrink disk.img 5G
            """)

    /// A size with a minus is no option: it is taken for the word that it is.
    static func prepare(_ words: [String]) -> [String] {
        guard let last = words.last, last.count > 1, last.hasPrefix("-"), last.dropFirst().first?.isNumber == true,
            !words.contains("--")
        else { return words }
        return words.dropLast() + ["--", last]
    }

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let operands = try words.operands("FILE", "SIZE")
        let (file, text) = (operands[0], operands[1])
        let sign = text.first.flatMap { $0 == "+" || $0 == "-" ? $0 : nil }
        let amount = try words.size(sign == nil ? text : String(text.dropFirst()), of: "SIZE")
        let preallocation = try words.value("preallocation").map { (text) throws(UrsaError) -> Preallocation in
            guard let mode = Preallocation(rawValue: text) else {
                throw words.wrong("'\(printable(text))' is no preallocation", "write off, metadata, falloc or full")
            }
            return mode
        }
        if try ImageDoor.mustTake(words, written: (file, words.value("f"))) { return try QEMUImage.handOn(call) }
        let image = try ImageDoor(words).writer(file, format: words.value("f"))
        let size = try target(sign, amount, image.size, words)
        if size < image.size, !words.has("shrink") {
            throw UrsaError(
                .usage, "the disk would lose \(image.size - size) bytes at its end", place: words.place,
                remedy: "add --shrink if that is meant")
        }
        if size < image.size, let preallocation, preallocation != .off {
            throw words.wrong("preallocation is for what is added", "leave --preallocation out")
        }
        try image.resize(to: size, preallocation: preallocation ?? .off)
        try image.flush()
        try image.close()
        if Screen.isJSON {
            Screen.json(.record(["filename": .string(file), "virtual-size": .integer(Int64(clamping: size))]))
        } else if !words.has("q") {
            Screen.line("Image resized.")
        }
        return 0
    }

    private static func target(
        _ sign: Character?, _ amount: UInt64, _ size: UInt64, _ words: ImageWords
    ) throws(UrsaError) -> UInt64 {
        var target = amount
        if sign == "+" { target = size.addingReportingOverflow(amount).overflow ? .max : size + amount }
        if sign == "-" {
            guard amount < size else { throw words.wrong("the disk has only \(size) bytes", "take off less") }
            target = size - amount
        }
        guard target > 0 else { throw words.wrong("a disk of 0 bytes is none", "give a size of 1 or more") }
        guard target <= UInt64(Int64.max) - 511 else { throw words.wrong("a disk can't be that large") }
        return (target + 511) & ~511
    }
}
