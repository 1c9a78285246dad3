import UrsaBase
import UrsaDisk

/// `ursa image map`
enum MapImage: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "map", abstract: "Show where the data of an image and of those below it lies.", operands: "FILE",
        options: [
            .format(), .option("s", "start-offset", "OFFSET", "Where to begin; left out: at 0"),
            .option("l", "max-length", "LENGTH", "How much to look at; left out: all"), .output, .json, .share,
            .allow, .trusted, .imageOptions, .object,
        ],
        discussion: """
            For people, only data is listed. JSON lists everything: whether an image says
            something of a run (present), how far down the chain (depth), whether it reads
            as zeros, whether bytes are stored, and where.

            Examples:
              {} map disk.qcow2
              {} map --output=json disk.qcow2
            """)

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let file = try words.operands("FILE")[0]
        let start = try words.size("start-offset", spelled: "--start-offset") ?? 0
        let length = try words.size("max-length", spelled: "--max-length") ?? .max
        let isJSON = try words.wantsJSON
        if try ImageDoor.mustTake(words, read: [(file, words.value("f"))]) { return try QEMUImage.handOn(call) }
        let image = try ImageDoor(words).reader(file, format: words.value("f"))
        var text = ""
        Screen.write(isJSON ? "[" : "Offset          Length          Mapped to       File\n")
        var isFirst = true
        try DiskMap.walk(image, from: start, length: length) { (entry) throws(UrsaError) in
            if isJSON {
                text += (isFirst ? "" : ",\n") + json(entry)
            } else {
                text += try line(entry)
            }
            isFirst = false
            // A disk in a million pieces needs no million pieces of memory.
            guard text.utf8.count > 1 << 16 else { return }
            Screen.write(text)
            text = ""
        }
        Screen.write(text + (isJSON ? "]\n" : ""))
        return 0
    }

    /// A line as `qemu-img` writes it.
    static func json(_ entry: MapEntry) -> String {
        var text = "{ \"start\": \(entry.start), \"length\": \(entry.length), \"depth\": \(entry.depth)"
        text += ", \"present\": \(entry.isPresent), \"zero\": \(entry.isZero), \"data\": \(entry.isData)"
        if let offset = entry.offset { text += ", \"offset\": \(offset)" }
        return text + "}"
    }

    private static func line(_ entry: MapEntry) throws(UrsaError) -> String {
        guard entry.isData, !entry.isZero else { return "" }
        guard let offset = entry.offset else {
            throw UrsaError(
                .unsupported, "the image has compressed data, which lies nowhere as it is",
                remedy: "write --output=json")
        }
        let columns = [entry.start, entry.length, offset].map(ImageText.column).joined()
        return columns + printable(entry.file ?? "") + "\n"
    }
}
