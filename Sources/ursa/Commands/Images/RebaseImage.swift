import UrsaBase
import UrsaDisk

/// `ursa image rebase`
enum RebaseImage: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "rebase", abstract: "Put an image over another one than before.", operands: "FILE",
        options: [
            .format(), .option("b", "BASE", "The image it is to be over; \"\" for none"),
            .option("F", "FMT", "Format of BASE"),
            .flag("u", "Only write the new name down; nobody looks at what is in there"), .cache, .sourceCache,
            .progress, .quiet, .share, .json, .allow, .trusted, .imageOptions, .object,
        ],
        discussion: """
            FILE reads the same afterwards: what differs between the old and the new image
            below is copied into it first. With -u nothing is copied and the old image need
            not exist: for one that was moved or renamed.

            Examples:
              {} rebase -b new-base.qcow2 -F qcow2 top.qcow2
              {} rebase -u -b /images/base.qcow2 -F qcow2 top.qcow2
            """)

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let file = try words.operands("FILE")[0]
        guard let base = words.value("b") ?? (words.has("u") ? "" : nil) else {
            throw words.wrong("the new image below is missing", "name it with -b")
        }
        let foreignBase =
            QEMUImage.isProtocol(base) || (words.value("F").map { DiskFormat(rawValue: $0) == nil } ?? false)
        if try ImageDoor.mustTake(words, written: (file, words.value("f"))) || (foreignBase && !words.has("u")) {
            return try QEMUImage.handOn(call)
        }
        let format = words.value("F")
        guard base.isEmpty || format != nil else {
            throw words.wrong("the format of '\(printable(base))' is missing", "write it with -F: -F qcow2 or -F raw")
        }
        let durable = try ImageCopy.isDurable(words, default: "writeback")
        let door = ImageDoor(words)
        let progress = ImageProgress("rebasing", words)
        if words.has("u") {
            let image = try door.qcow2Alone(file, format: words.value("f"))
            try Rebase.rename(image, to: base.isEmpty ? nil : base, format: format)
        } else {
            guard let image = try door.writer(file, format: words.value("f")) as? Qcow2Image else {
                throw words.wrong("only qcow2 images can be over another")
            }
            let new = try base.isEmpty ? nil : door.reader(ImageDoor.beside(file, QEMUImage.path(base)), format: format)
            try Rebase.run(
                image, onto: new, name: base.isEmpty ? nil : base, format: format, durable: durable,
                progress: progress.handler)
        }
        progress.finish()
        if Screen.isJSON {
            Screen.json(
                .record([
                    "filename": .string(file), "backing-filename": base.isEmpty ? nil : .string(base),
                    "backing-filename-format": base.isEmpty ? nil : format.map(JSON.string),
                ]))
        }
        return 0
    }
}
