public import UrsaBase

/// One image: what a machine boots from.
public struct Image: Sendable, Hashable {
    /// How a machine starts from the image.
    public enum Boot: Sendable, Hashable {
        /// The engine loads a kernel itself.
        case kernel(KernelBoot)
        /// The machine's firmware starts what is on the disk.
        case disk
    }

    /// Whether a machine gets a first-boot seed disk (`FirstBoot`).
    public enum Seed: String, Sendable, Hashable {
        /// It needs none.
        case none
        /// cloud-init's NoCloud form: an ISO 9660 disk labelled CIDATA.
        case noCloud = "nocloud"
    }

    /// Its name: `debian:12`; for a person's own file the absolute path.
    public var name: String
    /// What it is, beyond its name: 16 hexadecimal digits of a SHA-256 over its name and content. Also its folder's
    /// name in the store. Disks made over the image stay valid as long as this is the same.
    public var identifier: String
    /// How it starts.
    public var boot: Boot
    /// The kernel of a disk that firmware starts, for engines that have no firmware; nil when nobody took it out.
    public var diskKernel: KernelBoot?
    /// Its disk, a read-only base for the machines' own; nil when it runs from memory.
    public var disk: DiskFile?
    /// TCP port in the machine that accepts connections once it is up.
    public var readyPort: UInt16?
    /// Whom to log in as by ssh; nil when there is no ssh.
    public var user: String?
    /// Text that its serial console shows once it is up.
    public var readyMarker: String?
    /// Whether machines get a first-boot seed.
    public var seed: Seed
    /// Least memory that a machine of it boots with; nil when nobody has found out.
    public var minimumMemory: ByteCount?
    /// When it was made, seconds since 1970.
    public var made: Double
    /// What it takes on the disk.
    public var size: ByteCount
    /// Where it is from, for people: `built from Debian packages`, an address, `a file of yours`.
    public var origin: String

    /// An image from its parts; see the properties.
    public init(
        name: String, identifier: String = "", boot: Boot, diskKernel: KernelBoot? = nil,
        disk: DiskFile? = nil, readyPort: UInt16? = nil,
        user: String? = nil, readyMarker: String? = nil, seed: Seed = .none,
        minimumMemory: ByteCount? = nil, made: Double = 0, size: ByteCount = ByteCount(0), origin: String
    ) {
        self.name = name
        self.identifier = identifier
        self.boot = boot
        self.diskKernel = diskKernel
        self.disk = disk
        self.readyPort = readyPort
        self.user = user
        self.readyMarker = readyMarker
        self.seed = seed
        self.minimumMemory = minimumMemory
        self.made = made
        self.size = size
        self.origin = origin
    }
}

extension Image {
    /// The kernel that an engine without firmware loads; nil when the image has none.
    public var directKernel: KernelBoot? {
        if case .kernel(let kernel) = boot { kernel } else { diskKernel }
    }
}

/// A kernel that the engine loads itself.
public struct KernelBoot: Sendable, Hashable {
    /// Path of the kernel: an ELF file with PVH entry, or a bzImage.
    public var kernel: String
    /// Path of the first root file system, if any.
    public var initrd: String?
    /// Kernel command line; a machine's own words (`ursa.hostname=web`) are appended to it.
    public var arguments: String

    /// A kernel with its first root file system and command line.
    public init(kernel: String, initrd: String? = nil, arguments: String) {
        self.kernel = kernel
        self.initrd = initrd
        self.arguments = arguments
    }
}

/// A disk in a file.
public struct DiskFile: Sendable, Hashable {
    /// How the bytes of the file make a disk. It is always stated, never guessed while a guest can write the disk.
    public enum Format: String, Sendable, Hashable, CaseIterable {
        /// The disk's sectors as they are.
        case raw
        /// QEMU's copy-on-write format, version 2 or 3.
        case qcow2
    }

    /// Path of the file.
    public var path: String
    /// Its format.
    public var format: Format
    /// Size of the disk that the guest sees.
    public var virtualSize: ByteCount

    /// A disk in a file.
    public init(path: String, format: Format, virtualSize: ByteCount) {
        self.path = path
        self.format = format
        self.virtualSize = virtualSize
    }
}

// MARK: - JSON

extension KernelBoot {
    fileprivate var json: JSON {
        .record([
            "kernel": .string(kernel), "initrd": initrd.map { .string($0) }, "arguments": .string(arguments),
        ])
    }
}

extension Image {
    /// The image as JSON, for its metadata file, for the store of machines and for `--json`.
    public var json: JSON {
        var bootJSON: JSON = "disk"
        if case .kernel(let kernel) = boot {
            bootJSON = kernel.json
        }
        return .record([
            "name": .string(name),
            "identifier": .string(identifier),
            "boot": bootJSON,
            "diskKernel": diskKernel?.json,
            "disk": disk.map {
                .record([
                    "path": .string($0.path), "format": .string($0.format.rawValue),
                    "virtualSize": .integer(Int64(clamping: $0.virtualSize.bytes)),
                ])
            },
            "readyPort": readyPort.map { .integer(Int64($0)) },
            "user": user.map { .string($0) },
            "readyMarker": readyMarker.map { .string($0) },
            "seed": .string(seed.rawValue),
            "minimumMemory": minimumMemory.map { .integer(Int64(clamping: $0.bytes)) },
            "made": .number(made),
            "size": .integer(Int64(clamping: size.bytes)),
            "origin": .string(origin),
        ])
    }

    /// Reads what `json` wrote.
    ///
    /// - Throws: `.io` naming the member that is missing or wrong.
    public init(json: JSON) throws(UrsaError) {
        func text(_ value: JSON?, _ name: String) throws(UrsaError) -> String {
            guard let text = value?.string, !text.isEmpty, !text.utf8.contains(0) else {
                throw UrsaError(.io, "an image's description has no usable `\(name)`")
            }
            return text
        }
        func bytes(_ value: JSON?, _ name: String) throws(UrsaError) -> ByteCount {
            guard let number = value?.integer, number >= 0 else {
                throw UrsaError(.io, "an image's description has no usable `\(name)`")
            }
            return ByteCount(UInt64(number))
        }
        func kernelBoot(_ json: JSON) throws(UrsaError) -> KernelBoot {
            KernelBoot(
                kernel: try text(json["kernel"], "kernel"),
                initrd: json["initrd"] == nil ? nil : try text(json["initrd"], "initrd"),
                arguments: json["arguments"]?.string ?? "")
        }
        let boot: Boot
        if let kernel = json["boot"], kernel.members != nil {
            boot = .kernel(try kernelBoot(kernel))
        } else if json["boot"]?.string == "disk" {
            boot = .disk
        } else {
            throw UrsaError(.io, "an image's description has no usable `boot`")
        }
        var disk: DiskFile?
        if let stored = json["disk"] {
            guard let format = DiskFile.Format(rawValue: try text(stored["format"], "format")) else {
                throw UrsaError(.io, "an image's description names an unknown disk format")
            }
            disk = DiskFile(
                path: try text(stored["path"], "path"), format: format,
                virtualSize: try bytes(stored["virtualSize"], "virtualSize"))
        }
        guard let seed = Seed(rawValue: json["seed"]?.string ?? "none") else {
            throw UrsaError(.io, "an image's description names an unknown kind of seed")
        }
        let made: Double
        switch json["made"] {
        case .number(let value): made = value
        case .integer(let value): made = Double(value)
        default: throw UrsaError(.io, "an image's description has no usable `made`")
        }
        self.init(
            name: try text(json["name"], "name"), identifier: try text(json["identifier"], "identifier"), boot: boot,
            diskKernel: json["diskKernel"] == nil ? nil : try kernelBoot(json["diskKernel"] ?? .null),
            disk: disk, readyPort: json["readyPort"]?.integer.flatMap { UInt16(exactly: $0) },
            user: json["user"]?.string,
            readyMarker: json["readyMarker"]?.string, seed: seed,
            minimumMemory: json["minimumMemory"] == nil ? nil : try bytes(json["minimumMemory"], "minimumMemory"),
            made: made, size: try bytes(json["size"], "size"),
            origin: json["origin"]?.string ?? "unknown")
    }

    /// The same image with every path changed by `change`.
    func mappingPaths(_ change: (String) throws(UrsaError) -> String) throws(UrsaError) -> Image {
        var image = self
        func mapped(_ old: KernelBoot) throws(UrsaError) -> KernelBoot {
            var kernel = old
            kernel.kernel = try change(kernel.kernel)
            if let initrd = kernel.initrd { kernel.initrd = try change(initrd) }
            return kernel
        }
        if case .kernel(let kernel) = boot { image.boot = .kernel(try mapped(kernel)) }
        if let diskKernel { image.diskKernel = try mapped(diskKernel) }
        if let disk { image.disk?.path = try change(disk.path) }
        return image
    }

    /// The paths of its files.
    var files: [String] {
        var files: [String] = []
        if let kernel = directKernel { files += [kernel.kernel] + (kernel.initrd.map { [$0] } ?? []) }
        if let disk { files.append(disk.path) }
        return files
    }
}
