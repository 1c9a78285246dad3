public import UrsaBase

/// Everything one `ursa.yaml` asks for, checked and with every default filled in.
public struct Spec: Sendable, Hashable {
    /// Networks by order of the file.
    public var networks: [NetworkSpec]
    /// Machines by order of the file.
    public var machines: [MachineSpec]

    /// A spec from its parts.
    public init(networks: [NetworkSpec] = [], machines: [MachineSpec] = []) {
        self.networks = networks
        self.machines = machines
    }
}

/// One network as the person asked for it.
public struct NetworkSpec: Sendable, Hashable {
    /// What kind of network; further models join here.
    public enum Model: String, Sendable, Hashable, CaseIterable {
        /// A private subnet; its machines reach the outside by the host's addresses.
        case nat
        /// No network of the host at all: each machine has its own user-space NAT; needs no root.
        case user
    }

    /// When the network exists.
    public enum Start: String, Sendable, Hashable, CaseIterable {
        /// From its first machine's start to its last machine's end.
        case onDemand = "on-demand"
        /// From `up` to `down`, machines or not.
        case always
    }

    /// Name: 1–32 characters, lower-case letters, digits and hyphens, starting with a letter.
    public var name: String
    /// Its model.
    public var model: Model
    /// IPv4 subnet, /8 … /29; nil picks a free one.
    public var subnet: IPv4Network?
    /// IPv6 subnet, /64; nil picks one of the host's own ULA prefix.
    public var subnet6: IPv6Network?
    /// Whether the network has IPv6 (default yes).
    public var ipv6: Bool
    /// When it exists.
    public var start: Start
    /// Largest frame payload in bytes, 1280…65535 (default 1500).
    public var mtu: Int

    /// A network with the defaults of the spec.
    public init(
        name: String, model: Model = .nat, subnet: IPv4Network? = nil, subnet6: IPv6Network? = nil, ipv6: Bool = true,
        start: Start = .onDemand, mtu: Int = 1500
    ) {
        self.name = name
        self.model = model
        self.subnet = subnet
        self.subnet6 = subnet6
        self.ipv6 = ipv6
        self.start = start
        self.mtu = mtu
    }
}

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
        engine: EngineChoice = .auto, accelerator: AcceleratorChoice = .auto, stopTimeout: Int = 30,
        readyPort: UInt16? = nil, kernelArguments: String? = nil, sshKeys: [String] = []
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
        self.stopTimeout = stopTimeout
        self.readyPort = readyPort
        self.kernelArguments = kernelArguments
        self.sshKeys = sshKeys
    }
}

/// One network card of a machine.
public struct NICSpec: Sendable, Hashable {
    /// Name of the network it is on.
    public var network: String
    /// IPv4 address wanted inside the network's subnet; nil takes a free one, kept for the machine's life.
    public var address: IPv4Address?
    /// Ethernet address wanted; nil derives one from the machine's identity.
    public var mac: MACAddress?

    /// A card on a network.
    public init(network: String, address: IPv4Address? = nil, mac: MACAddress? = nil) {
        self.network = network
        self.address = address
        self.mac = mac
    }
}

/// A port of the host that leads into a machine: `[HOSTADDRESS:]HOSTPORT:GUESTPORT[/tcp|/udp]`.
public struct PublishSpec: Sendable, Hashable, CustomStringConvertible {
    /// Transport protocol.
    public enum Transport: String, Sendable, Hashable, CaseIterable {
        /// TCP.
        case tcp
        /// UDP.
        case udp
    }
    /// Address of the host to listen on; nil is every address.
    public var hostAddress: IPAddress?
    /// Port on the host, 1…65535.
    public var hostPort: UInt16
    /// Port in the machine, 1…65535.
    public var guestPort: UInt16
    /// Transport protocol.
    public var transport: Transport

    /// A published port.
    public init(hostAddress: IPAddress? = nil, hostPort: UInt16, guestPort: UInt16, transport: Transport = .tcp) {
        self.hostAddress = hostAddress
        self.hostPort = hostPort
        self.guestPort = guestPort
        self.transport = transport
    }

    /// The text form, which `init(parsing:)` reads back.
    public var description: String {
        let address =
            switch hostAddress {
            case .v4(let address): "\(address):"
            case .v6(let address): "[\(address)]:"
            case nil: ""
            }
        return "\(address)\(hostPort):\(guestPort)\(transport == .udp ? "/udp" : "")"
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
