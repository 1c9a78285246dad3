import UrsaBase
import UrsaDisk

/// `ursa image convert`
enum ConvertImage: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "convert", abstract: "Copy images into a new one of another format.",
        operands: "FILE [FILE2 ...] NEW",
        options: [
            .format("Format of what is read"), .option("O", "FMT", "Format of NEW; left out: raw"),
            .option("o", "OPTIONS", "name=value,... of NEW; -o help lists them"),
            .option("B", "BASE", "Make NEW over this image, with the differences only"),
            .option("F", "FMT", "Format of the image under NEW"), .flag("c", "Compress (qcow2)"),
            .option("S", "SIZE", "So many zeros become a hole; 0: none; left out: 4k"),
            .option("l", "SNAPSHOT", "Read a snapshot: its name or ID"), .cache, .sourceCache, .progress, .quiet,
            .option("m", "N", "So many threads, 1 to 16; left out: one for each processor"),
            .flag("W", "Write out of order (which is done anyway)"), .rate,
            .flag("C", "Let the file system copy where it can (which is tried anyway)"),
            .flag("n", "NEW is there already: keep it and write into it"),
            .flag(nil, "target-is-zero", "With -n: NEW reads as zeros now"),
            .flag(nil, "salvage", "Take what can't be read for zeros"),
            .flag(nil, "bitmaps", "Copy bitmaps, too (by qemu-img)"),
            .flag(nil, "skip-broken-bitmaps", "Leave out inconsistent ones (by qemu-img)"), .share, .json, .allow,
            .trusted,
            .imageOptions, .flag(nil, "target-image-opts", "NEW is a list of qemu's block options (by qemu-img)"),
            .object,
        ],
        discussion: """
            Read here: raw, qcow2, qcow, vmdk, vdi, vpc, vhdx, parallels, dmg, cloop and
            bochs; written here: raw and qcow2. Everything else goes through qemu-img: other
            formats, and nbd:, http:// and https:// as sources (Debian has the latter in
            qemu-block-extra). Several images are joined.

            NEW is made under another name and takes its own when it is whole, so nobody
            ever sees half of it.

            Examples:
              {} convert -f raw -O qcow2 disk.img disk.qcow2
              {} convert -c -O qcow2 -o compression_type=zstd big.vmdk small.qcow2
              {} convert -p -O raw disk.qcow2 /dev/vg/disk
            """)

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let formatName = words.value("O") ?? "raw"
        if KeyValues.wantsHelp(words.all("o")), let format = DiskFormat(rawValue: formatName), format.isWritable {
            Screen.write(CreationOptions.help(format))
            return 0
        }
        guard words.operands.count >= 2, let target = words.operands.last else {
            throw words.wrong(
                words.operands.isEmpty ? "FILE is missing" : "NEW is missing", "name what is read, then what is made")
        }
        let sources = words.operands.dropLast()
        let foreign = try mustTake(words, Array(sources), target, formatName)
        if foreign { return try ForeignConversion.run(call, words, target: target, format: formatName) }
        guard let format = DiskFormat(rawValue: formatName) else { throw UrsaError(.bug, "a format that is not known") }
        if words.has("c"), format != .qcow2 {
            throw words.wrong("raw images are not compressed", "write -O qcow2 or leave -c out")
        }
        if words.has("target-is-zero"), !words.has("n") { throw words.wrong("--target-is-zero needs -n") }

        let door = ImageDoor(words)
        if words.has("l"), sources.count > 1 { throw words.wrong("a snapshot is of one image, and several are named") }
        let readers = try sources.map { (source) throws(UrsaError) in
            try door.reader(source, format: words.value("f"), snapshot: words.value("l"))
        }
        let source: any DiskReader = readers.count == 1 ? readers[0] : try JoinedReader(readers)
        let progress = ImageProgress("converting", words)
        var copy = try copyOptions(words)
        if words.has("salvage") {
            let isQuiet = words.has("q")
            copy.salvage = { error in
                if !isQuiet { Screen.note(error.description) }
            }
        }
        let plan = ImageCopy(source: source, options: copy, compress: words.has("c"), progress: progress.handler)
        let path = QEMUImage.path(target)
        if words.has("n") {
            try plan.into(path, format: words.value("O"), door, words)
        } else {
            try plan.make(path, format, door, words)
        }
        progress.finish()
        if Screen.isJSON { Screen.json(ImageCopy.result(target, format, source.size)) }
        return 0
    }

    private static func mustTake(
        _ words: ImageWords, _ sources: [String], _ target: String, _ format: String
    ) throws(UrsaError) -> Bool {
        if words.has("bitmaps") || words.has("skip-broken-bitmaps") || QEMUImage.isProtocol(target) { return true }
        if CreationOptions.isForeign(try KeyValues(words.all("o"), words)) { return true }
        // Into an existing compressed image: the other tool packs clusters into those that are there.
        if words.has("c"), words.has("n") { return true }
        return try ImageDoor.mustTake(
            words, read: sources.map { ($0, words.value("f")) }, written: [format])
    }

    /// What the options say of the copying itself.
    static func copyOptions(_ words: ImageWords) throws(UrsaError) -> CopyOptions {
        var copy = CopyOptions()
        if let sparse = try words.size("S", spelled: "-S") { copy.sparse = sparse < 512 ? nil : sparse & ~511 }
        if let workers = try words.number("m", spelled: "-m", in: 1...16) { copy.workers = Int(workers) }
        if let rate = try words.size("r", spelled: "-r") {
            guard rate > 0 else { throw words.wrong("a rate of 0 never ends", "leave -r out for no limit") }
            copy.rate = rate
        }
        return copy
    }
}
