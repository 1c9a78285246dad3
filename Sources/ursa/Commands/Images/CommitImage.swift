import UrsaBase
import UrsaDisk

/// `ursa image commit`
enum CommitImage: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "commit", abstract: "Write what an image changed into the image below it.", operands: "FILE",
        options: [
            .format(), .option("b", "BASE", "Into this image of the chain; FILE keeps its content then"),
            .flag("d", "Don't empty FILE afterwards"), .cache, .rate, .progress, .quiet, .json, .allow, .trusted,
            .imageOptions, .object,
        ],
        discussion: """
            Afterwards FILE is empty: it reads as before, from the image below. That one
            grows when it is smaller. Images between FILE and BASE are of no use any more.

            Example:
              {} commit top.qcow2
            """)

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let file = try words.operands("FILE")[0]
        let rate = try words.size("r", spelled: "-r")
        if try ImageDoor.mustTake(words, written: (file, words.value("f"))) { return try QEMUImage.handOn(call) }
        let durable = try ImageCopy.isDurable(words, default: "writeback")
        let progress = ImageProgress("committing", words)
        var options = CopyOptions()
        options.rate = rate
        let chain = try ImageDoor(words).committing(file, format: words.value("f"), into: words.value("b"))
        try Commit.run(
            chain, empties: !words.has("d") && words.value("b") == nil, durable: durable, options: options,
            progress: progress.handler)
        progress.finish()
        if Screen.isJSON {
            Screen.json(.record(["filename": .string(file), "base": .string(chain.base.name)]))
        } else if !words.has("q") {
            Screen.line("Image committed.")
        }
        return 0
    }
}
