public import UrsaBase

/// One machine as the person asked for it.
public struct MachineSpec: Sendable, Hashable {
    /// Name: 1–63 characters, lower-case letters, digits and hyphens, starting with a letter; also its host name.
    public var name: String
    /// Image name of the catalogue or the store: `tiny`, `debian:12`, or a path starting with `/`, `./` or `../`.
    public var image: String
    /// Virtual processors, 1…256.
    public var cpus: Int
    /// Memory of the guest, 64 MiB…, whole MiB.
    public var memory: ByteCount
    /// Size of the machine's own disk; nil keeps the image's. Never smaller than the image.
    public var disk: ByteCount?
    /// Network cards, in order. Empty only when the person asked for none.
    public var networks: [NICSpec]
    /// Ports of the host that lead into the machine.
    public var publish: [PublishSpec]
    /// What happens when the machine ends by itself.
    public var restart: RestartPolicy
    /// How the machine is run.
    public var engine: EngineChoice
    /// How guest code is executed.
    public var accelerator: AcceleratorChoice
    /// Whether programs of host and guest reach each other by vsock, over unix sockets in the machine's folder.
    public var vsock: Bool
    /// Seconds from the power button to the kill, 1…3600 (default 30).
    public var stopTimeout: Int
    /// Guest TCP port that must accept connections before the machine counts as reachable; nil takes the image's own.
    public var readyPort: UInt16?
    /// Text appended to the kernel command line, for images that are booted by their kernel.
    public var kernelArguments: String?
    /// OpenSSH public keys allowed to log in, besides Ursa's own.
    public var sshKeys: [String]

    /// Whether `image` is the path of a file, not a name.
    public var imageIsFile: Bool { NameRules.isPath(image) }

    /// A machine with the defaults of the spec.
    public init(
        name: String, image: String, cpus: Int = 1, memory: ByteCount = .mebibytes(512), disk: ByteCount? = nil,
        networks: [NICSpec] = [], publish: [PublishSpec] = [], restart: RestartPolicy = .never,
        engine: EngineChoice = .auto, accelerator: AcceleratorChoice = .auto, vsock: Bool = false,
        stopTimeout: Int = 30, readyPort: UInt16? = nil, kernelArguments: String? = nil, sshKeys: [String] = []
    ) {
        self.name = name
        self.image = image
        self.cpus = cpus
        self.memory = memory
        self.disk = disk
        self.networks = networks
        self.publish = publish
        self.restart = restart
        self.engine = engine
        self.accelerator = accelerator
        self.vsock = vsock
        self.stopTimeout = stopTimeout
        self.readyPort = readyPort
        self.kernelArguments = kernelArguments
        self.sshKeys = sshKeys
    }
}

/// What happens when a machine ends without being asked to.
public enum RestartPolicy: Sendable, Hashable, CustomStringConvertible {
    /// It stays ended.
    case never
    /// It starts again after a crash of the engine or a guest panic, at most `limit` times in a row (nil: no limit).
    case onFailure(limit: Int?)
    /// It starts again unless a person stopped it.
    case always

    /// `no`, `on-failure`, `on-failure:5`, `always`.
    public var description: String {
        switch self {
        case .never: "no"
        case .onFailure(nil): "on-failure"
        case .onFailure(let limit?): "on-failure:\(limit)"
        case .always: "always"
        }
    }
}

/// Which engine runs a machine.
public enum EngineChoice: String, Sendable, Hashable, CaseIterable {
    /// The best one that this host has.
    case auto
    /// Ursa's own monitor, which needs KVM.
    case native
    /// QEMU.
    case qemu
}

/// How guest code is executed.
public enum AcceleratorChoice: String, Sendable, Hashable, CaseIterable {
    /// KVM where it can run stock kernels, else emulation.
    case auto
    /// The processor's virtualization, by /dev/kvm.
    case kvm
    /// QEMU's translator: works everywhere, slower.
    case tcg
}
