import UrsaBase
import UrsaDisk

/// `ursa image create`
enum CreateImage: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "create", abstract: "Make a new, empty disk image.", operands: "FILE [SIZE]",
        options: [
            .option("f", "FMT", "Format: raw (if left out) or qcow2"),
            .option("o", "OPTIONS", "name=value,... of the format; -o help lists them"),
            .option("b", "BASE", "Make it over this image, which is never written to"),
            .option("F", "FMT", "Format of the image under it"),
            .flag("u", "Don't look whether the image under it is there"), .quiet, .json, .object,
        ],
        discussion: """
            Sizes take k, M, G, T, P and E, powers of 1024. Over another image the size
            may be left out; the format of that image must be given, since guessing it
            lets a guest decide. An existing file is replaced.

            Formats other than raw and qcow2 are made by qemu-img.

            Examples:
              {} create -f qcow2 disk.qcow2 20G
              {} create -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
              {} create -f qcow2 -o cluster_size=1M,lazy_refcounts=on big.qcow2 1T
            """)

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let name = words.value("f") ?? "raw"
        if QEMUImage.mustTake(words, read: [], written: [name]) { return try QEMUImage.handOn(call) }
        guard let format = DiskFormat(rawValue: name) else { throw UrsaError(.bug, "a format that is not known") }
        if KeyValues.wantsHelp(words.all("o")) {
            Screen.write(CreationOptions.help(format))
            return 0
        }
        guard let operand = words.operands.first else { throw words.wrong("FILE is missing") }
        guard words.operands.count <= 2 else {
            throw words.wrong("'\(printable(words.operands[2]))' is one word too many")
        }
        let isForeign = CreationOptions.isForeign(try KeyValues(words.all("o"), words))
        if isForeign || QEMUImage.isProtocol(operand) {
            return try QEMUImage.handOn(call)
        }
        var options = try CreationOptions(format: format, words)
        if let base = words.value("b") { options.backingFile = base }
        if let baseFormat = words.value("F") { options.backingFormat = baseFormat }
        if words.operands.count == 2 {
            guard options.size == nil else { throw words.wrong("the size is given twice", "give it once") }
            options.size = try words.size(words.operands[1], of: "SIZE")
        }
        let path = QEMUImage.path(operand)
        let size = try size(&options, path, words)
        try NewImage(path, options, size: (size + 511) & ~511).makeEmpty()
        if !Screen.isJSON, !words.has("q") { Screen.line(printable(options.formatting(operand, size: size))) }
        if Screen.isJSON {
            Screen.json(
                .record([
                    "filename": .string(operand), "format": .string(format.rawValue),
                    "virtual-size": .integer(Int64(clamping: (size + 511) & ~511)),
                ]))
        }
        return 0
    }

    /// The size asked for, else that of the image below, which is looked at unless `-u` says not to.
    private static func size(
        _ options: inout CreationOptions, _ path: String, _ words: ImageWords
    ) throws(UrsaError) -> UInt64 {
        guard let backing = options.backingFile else {
            if options.backingFormat != nil { throw words.wrong("-F says a format, but no image is named with -b") }
            guard let size = options.size else { throw words.wrong("SIZE is missing", "write it behind the file: 10G") }
            return size
        }
        guard options.format == .qcow2 else {
            throw words.wrong("a \(options.format.rawValue) image can't be made over another", "write -f qcow2")
        }
        guard let backingFormat = options.backingFormat else {
            throw words.wrong(
                "the format of '\(printable(backing))' is missing", "write it with -F: -F qcow2 or -F raw")
        }
        if words.has("u") {
            guard let size = options.size else { throw words.wrong("SIZE is missing", "with -u it must be given") }
            return size
        }
        // A protocol or a foreign format can't be looked at here.
        guard !QEMUImage.isProtocol(backing), DiskFormat(rawValue: backingFormat) != nil else {
            guard let size = options.size else {
                throw words.wrong("SIZE is missing", "give it: '\(printable(backing))' can't be looked at here")
            }
            return size
        }
        let base = try ImageDoor(words).reader(
            ImageDoor.beside(path, QEMUImage.path(backing)), format: backingFormat)
        return options.size ?? base.size
    }
}
