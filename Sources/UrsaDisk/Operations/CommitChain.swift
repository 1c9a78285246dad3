public import UrsaBase

extension Commit {
    /// Opens the images of a commit: the upper ones, and the one below that is written to.
    ///
    /// The upper ones are opened without it, since an image has either readers or one writer.
    ///
    /// - Parameters:
    ///   - path: the image whose content counts.
    ///   - base: the image of its chain to write to; nil takes the one directly below.
    public static func open(
        _ path: String, format: DiskFormat, into base: String?, _ options: DiskImage.Options = .init()
    ) throws(UrsaError) -> Chain {
        guard format == .qcow2 else {
            throw UrsaError(.usage, "a raw image is over no other", place: path)
        }
        var files: [ImageFile] = []
        var seen: [FileIdentity] = []
        var next = path
        let wanted = try base.map { (path) throws(UrsaError) in FileIdentity(try ImageFile(path)) }
        while true {
            let file = try ImageFile(next, DiskImage.fileOptions(options, writable: files.isEmpty))
            guard !seen.contains(FileIdentity(file)), seen.count < options.policy.longest else {
                throw UrsaError(.unsupported, "\(next) is its own backing image, directly or by others")
            }
            seen.append(FileIdentity(file))
            if options.locks { try ImageLock.take(file, for: files.isEmpty ? .writing : .readingTables) }
            files.append(file)
            let header = try Qcow2Header.read(file)
            guard let name = header.backingFile else {
                throw UrsaError(
                    base == nil ? .usage : .notFound,
                    base == nil ? "the image is over no other" : "\(base ?? "") is not in the chain of images",
                    place: path)
            }
            let below = try options.policy.path(of: name, in: next, as: "backing file")
            let found = try stated(header.backingFormat, at: below)
            let isBase = try wanted.map { (wanted) throws(UrsaError) in FileIdentity(try ImageFile(below)) == wanted }
            if isBase ?? true { return try assemble(files, below, found, options) }
            guard found == .qcow2 else {
                throw UrsaError(.notFound, "\(base ?? "") is not in the chain of images", place: path)
            }
            next = below
        }
    }

    private static func assemble(
        _ files: [ImageFile], _ base: String, _ format: DiskFormat, _ options: DiskImage.Options
    ) throws(UrsaError) -> Chain {
        guard format.isWritable else {
            throw UrsaError(.unsupported, "images of format \(format.rawValue) are not written here", place: base)
        }
        var alone = options
        // What lies below the base is neither read nor written.
        alone.withoutBacking = true
        let writer = try DiskImage.openForWriting(base, format: format, alone)
        var upper: Qcow2Image?
        for file in files.reversed() {
            let header = try Qcow2Header.read(file)
            let data = try header.dataFile.map { (name) throws(UrsaError) in
                try ImageFile(
                    try options.policy.path(of: name, in: file.name, as: "data file"),
                    DiskImage.fileOptions(options, writable: file.isWritable))
            }
            upper = try Qcow2Image(file: file, header: header, dataFile: data, backing: upper, options: options.qcow2)
        }
        guard let upper else { throw UrsaError(.bug, "a commit of no images") }
        return Chain(top: upper, base: writer, depth: files.count)
    }

    /// The format of the image that is written to: as the image above states it, never guessed.
    private static func stated(_ stated: String?, at path: String) throws(UrsaError) -> DiskFormat {
        guard let stated else {
            if try DiskImage.probe(try ImageFile(path)) == .qcow2 { return .qcow2 }
            throw UrsaError(
                .unsupported, "the image above does not state the format of this one, and it is not guessed",
                place: path,
                remedy: "state it: ursa image rebase -u -b \(path) -F raw IMAGE")
        }
        if stated == "file" || stated == "host_device" { return .raw }
        guard let format = DiskFormat(rawValue: stated) else {
            throw UrsaError(.unsupported, "the format '\(stated)' is not known here", place: path)
        }
        return format
    }
}
