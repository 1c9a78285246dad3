public import UrsaBase

/// Opens images of any format with all that they refer to.
public enum DiskImage {
    /// How an image is opened.
    public struct Options: Sendable {
        /// Which other files the image may name.
        public var policy = ChainPolicy.untrusted
        /// Locks the files as QEMU does. Without it (`-U`) what is read may be half of somebody's change.
        public var locks = true
        /// Passes the page cache by (`cache=none`).
        public var direct = false
        /// Whether flushes wait for stable storage; without it (`cache=unsafe`) a loss of power may lose all.
        public var syncs = true
        /// For images of format qcow2.
        public var qcow2 = Qcow2Image.Options()
        /// Opens the image alone: what it does not say itself reads as zeros. For `info`, and for chains that are broken.
        public var withoutBacking = false

        /// The defaults: an image of a stranger, with locks.
        public init() {}
    }

    /// Opens an image for reading.
    ///
    /// - Parameter format: nil guesses it from the file's content. A raw image whose guest wrote the start of another
    ///   format into it would then be taken for that, so name the format of what a guest can write to.
    public static func open(
        _ path: String, format: DiskFormat?, _ options: Options = Options()
    ) throws(UrsaError) -> any DiskReader {
        var seen: [FileIdentity] = []
        return try open(path, format, options, depth: 0, &seen)
    }

    /// Opens an image for writing. Its format is never guessed. Its backing images are opened for reading only.
    public static func openForWriting(
        _ path: String, format: DiskFormat, _ options: Options = Options()
    ) throws(UrsaError) -> any DiskWriter {
        guard format.isWritable else {
            throw UrsaError(
                .unsupported, "images of format \(format.rawValue) are read here, not written",
                remedy: "convert \(path) to qcow2 or raw, or use qemu-img")
        }
        let file = try ImageFile(path, fileOptions(options, writable: true))
        if options.locks { try ImageLock.take(file, for: .writing) }
        guard format == .qcow2 else { return RawImage(file: file) }
        var seen = [FileIdentity(file)]
        return try openQcow2(file, options, depth: 0, &seen)
    }

    static func fileOptions(_ options: Options, writable: Bool) -> ImageFile.Options {
        var result = ImageFile.Options(writable: writable, direct: options.direct)
        result.syncs = options.syncs
        return result
    }

    /// The format of an open file by its content; raw when no other is recognised.
    public static func probe(_ file: ImageFile) throws(UrsaError) -> DiskFormat {
        let start = try file.bytes(at: 0, count: Int(min(file.size, 4096)))
        if Qcow2Header.recognises(start) { return .qcow2 }
        if let found = ForeignImage.format(of: Array(start.prefix(ForeignImage.probeLength))) { return found }
        // A dmg file begins with data; it is told by its name and its end.
        if file.name.hasSuffix(".dmg"), file.size >= 512,
            try file.bytes(at: file.size - 512, count: 4) == Array("koly".utf8)
        {
            return .dmg
        }
        return .raw
    }

    private static func open(
        _ path: String, _ format: DiskFormat?, _ options: Options, depth: Int, _ seen: inout [FileIdentity]
    ) throws(UrsaError) -> any DiskReader {
        guard depth < options.policy.longest else {
            throw UrsaError(.unsupported, "the chain of backing images has more than \(options.policy.longest) members")
        }
        let file = try ImageFile(path, fileOptions(options, writable: false))
        let identity = FileIdentity(file)
        guard !seen.contains(identity) else {
            throw UrsaError(.unsupported, "\(path) is its own backing image, directly or by others")
        }
        seen.append(identity)
        let found: DiskFormat
        if let format { found = format } else { found = try probe(file) }
        if options.locks {
            try ImageLock.take(file, for: found == .raw && depth == 0 ? .reading : .readingTables)
        }
        switch found {
        case .raw: return RawImage(file: file)
        case .qcow2:
            if format == nil, depth > 0, !options.policy.mayGuessReferring {
                let header = try Qcow2Header.read(file)
                guard header.backingFile == nil, !header.hasDataFile else {
                    throw UrsaError(
                        .permission,
                        "\(path) looks like a qcow2 image that names more files, but the image above it does not say "
                            + "that it is qcow2: a guest may have written it so",
                        remedy: "if you trust it, state its format with: ursa image rebase -u -F qcow2")
                }
            }
            return try openQcow2(file, options, depth: depth, &seen)
        default: return try openForeign(file, found, options, depth: depth, &seen)
        }
    }

    /// The other formats name files too: qcow its backing image, vmdk those that hold its data.
    private static func openForeign(
        _ file: ImageFile, _ format: DiskFormat, _ options: Options, depth: Int, _ seen: inout [FileIdentity]
    ) throws(UrsaError) -> any DiskReader {
        let names = try ForeignImage.names(in: file, format: format)
        var backing: (any DiskReader)?
        var companions: [any ByteSource] = []
        for name in names {
            if format == .qcow {
                guard !options.withoutBacking else { continue }
                let path = try options.policy.path(of: name, in: file.name, as: "backing file")
                backing = try open(path, nil, options, depth: depth + 1, &seen)
            } else {
                let path = try options.policy.path(of: name, in: file.name, as: "data file")
                let companion = try ImageFile(path, fileOptions(options, writable: false))
                let identity = FileIdentity(companion)
                guard !seen.contains(identity) || identity == FileIdentity(file) else {
                    throw UrsaError(.unsupported, "\(file.name) names \(path) twice")
                }
                seen.append(identity)
                if options.locks { try ImageLock.take(companion, for: .readingTables) }
                companions.append(companion)
            }
        }
        return try ForeignImage.open(
            file, format: format, backing: backing, alone: options.withoutBacking, companions: companions)
    }

    private static func openQcow2(
        _ file: ImageFile, _ options: Options, depth: Int, _ seen: inout [FileIdentity]
    ) throws(UrsaError) -> Qcow2Image {
        let header = try Qcow2Header.read(file)
        var dataFile: ImageFile?
        if header.hasDataFile {
            guard let name = header.dataFile else {
                throw UrsaError(
                    .unsupported, "\(file.name) keeps its data in an external file, but does not name it")
            }
            let path = try options.policy.path(of: name, in: file.name, as: "data file")
            let opened = try ImageFile(path, fileOptions(options, writable: file.isWritable))
            let identity = FileIdentity(opened)
            guard !seen.contains(identity) else {
                throw UrsaError(.unsupported, "\(file.name) is its own data file")
            }
            seen.append(identity)
            if options.locks { try ImageLock.take(opened, for: file.isWritable ? .writing : .readingTables) }
            dataFile = opened
        }
        var backing: (any DiskReader)?
        if let name = header.backingFile, !options.withoutBacking {
            let path = try options.policy.path(of: name, in: file.name, as: "backing file")
            let format = try header.backingFormat.map { name throws(UrsaError) in try known(name, of: path) }
            var below = options
            below.qcow2.forRepair = false
            do throws(UrsaError) {
                backing = try open(path, format, below, depth: depth + 1, &seen)
            } catch {
                throw error.at("backing file of \(file.name)")
            }
        }
        return try Qcow2Image(
            file: file, header: header, dataFile: dataFile, backing: backing, options: options.qcow2)
    }

    private static func known(_ name: String, of path: String) throws(UrsaError) -> DiskFormat {
        // Names of QEMU's drivers for what lies on a disk or device as it is.
        if name == "file" || name == "host_device" { return .raw }
        guard let format = DiskFormat(rawValue: name) else {
            throw UrsaError(.unsupported, "\(path) is said to be of the format '\(name)', which is not read here")
        }
        return format
    }
}

/// A file by device and inode, so that a loop is found by whatever names it goes.
struct FileIdentity: Equatable {
    private let device: UInt64
    private let inode: UInt64

    init(_ file: ImageFile) { (device, inode) = file.identity }
}
