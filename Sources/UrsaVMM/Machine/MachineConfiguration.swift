public import UrsaBase

/// What a machine consists of: the one argument of `ursa-vmm`, as JSON.
///
/// Files, devices and sockets are named by the numbers of descriptors that are open already; the monitor opens nothing by name.
public struct MachineConfiguration: Sendable, Hashable {
    /// How devices are reached.
    public enum Profile: String, Sendable, CaseIterable {
        /// PCI Express with modern virtio devices.
        case pci
        /// virtio-mmio windows, no PCI: the quickest start.
        case mmio
    }
    /// A file of a disk; the first of a disk is the uppermost.
    public struct Layer: Sendable, Hashable {
        /// The formats that are read without guessing.
        public enum Format: String, Sendable, CaseIterable { case raw, qcow2 }
        /// The open file.
        public var fd: Int32
        /// Its format.
        public var format: Format
    }
    /// A disk.
    public struct Disk: Sendable, Hashable {
        /// Its files, the uppermost first.
        public var layers: [Layer]
        /// Whether the guest may only read.
        public var isReadOnly: Bool
        /// What the guest finds at /dev/disk/by-id, at most 20 bytes of ASCII.
        public var serial: String
    }
    /// A network card.
    public struct NIC: Sendable, Hashable {
        /// Where frames go.
        public enum Backend: Sendable, Hashable {
            /// The queues of a tap with virtio headers, each a pair of queues of the card; perhaps with the kernel's own half
            /// of virtio-net, opened once for each.
            case tap([Int32], vhost: [Int32])
            /// A packet socket, each packet a frame.
            case frames(Int32)
        }
        /// Where its frames go.
        public var backend: Backend
        /// Its Ethernet address.
        public var mac: MACAddress
        /// Largest packet that the guest is told of; nil: nothing is told.
        public var mtu: Int?
    }
    /// Where the serial port leads.
    public enum Console: Sendable, Hashable {
        /// A listening unix socket.
        case socket(Int32)
        /// Input and output of the process.
        case standard
    }
    /// Sockets of the host for the guest's vsock.
    public struct Vsock: Sendable, Hashable {
        /// The guest's address, from 3.
        public var cid: UInt32
        /// A listening socket for connections into the guest.
        public var listener: Int32?
        /// A folder with the sockets of the guest's own connections, each named by its port.
        public var folder: Int32?
        /// The socket of the broker that connects to them (`VsockBroker`): the program starts it, and is `folder`'s only reader.
        public internal(set) var broker: Int32?
    }
    /// What starts first.
    public struct Boot: Sendable, Hashable {
        /// An open bzImage or ELF file.
        public var kernel: Int32
        /// An open initial ram disk.
        public var initrd: Int32?
        /// The kernel's command line.
        public var arguments: String
    }

    /// The machine's name.
    public var name: String
    /// Its UUID in the form of RFC 4122.
    public var uuid: String
    /// Processors, 1 … 254.
    public var cpus: Int
    /// Bytes.
    public var memory: UInt64
    /// /dev/kvm, open for reading and writing.
    public var kvm: Int32
    /// How devices are reached.
    public var profile: Profile
    /// Whether pages of 2 MiB are asked for.
    public var hugePages: Bool
    /// Whether the kernel may share equal pages of machines.
    public var isMergeable: Bool
    /// What starts first.
    public var boot: Boot
    /// Disks in order, at most 12.
    public var disks: [Disk]
    /// Network cards in order, at most 10.
    public var nics: [NIC]
    /// Where the serial port leads; nil: there is none.
    public var console: Console?
    /// Listening unix sockets for QMP.
    public var monitors: [Int32]
    /// A listening socket for a virtio console.
    public var virtioConsole: Int32?
    /// The guest's vsock.
    public var vsock: Vsock?
    /// Whether there is a source of randomness.
    public var hasEntropy: Bool
    /// Whether there is a balloon.
    public var hasBalloon: Bool

    /// Reads a configuration.
    ///
    /// - Throws: what is wrong, with its key.
    public init(_ json: JSON) throws(UrsaError) {
        var reader = try ConfigurationReader(json)
        name = try reader.text("name") ?? "machine"
        uuid = try reader.text("uuid") ?? "00000000-0000-0000-0000-000000000000"
        cpus = Int(try reader.integer("cpus", 1...254) ?? 1)
        memory = UInt64(try reader.needed("memory", (16 << 20)...(1 << 40)))
        guard memory % (1 << 20) == 0 else {
            throw ConfigurationReader.wrong("memory", "must be a whole number of MiB, in bytes")
        }
        kvm = try reader.neededDescriptor("kvm")
        profile = try reader.choice("profile") ?? .pci
        hugePages = try reader.flag("hugePages", false)
        isMergeable = try reader.flag("mergeable", false)
        guard var boot = try reader.object("boot") else { throw ConfigurationReader.wrong("boot", "is missing") }
        self.boot = Boot(
            kernel: try boot.neededDescriptor("kernel"), initrd: try boot.descriptor("initrd"),
            arguments: try boot.text("arguments") ?? "")
        try boot.finish()
        disks = []
        for disk in try reader.objects("disks", atMost: 12) { disks.append(try Disk(disk)) }
        nics = []
        for nic in try reader.objects("nics", atMost: 10) { nics.append(try NIC(nic)) }
        console = try MachineConfiguration.console(reader.value("console"))
        monitors = try reader.descriptors("monitors", atMost: 8)
        virtioConsole = try reader.descriptor("virtioConsole")
        vsock = nil
        if var vsock = try reader.object("vsock") {
            // 0 … 2 are the hypervisor, local and the host (Virtio 1.2, 5.10.4).
            self.vsock = Vsock(
                cid: UInt32(try vsock.needed("cid", 3...0xffff_fffe)), listener: try vsock.descriptor("listen"),
                folder: try vsock.descriptor("folder"))
            try vsock.finish()
        }
        hasEntropy = try reader.flag("entropy", true)
        hasBalloon = try reader.flag("balloon", false)
        try reader.finish()
    }

    private static func console(_ value: JSON?) throws(UrsaError) -> Console? {
        switch value {
        case nil: return nil
        case .string("stdio"): return .standard
        case .integer(let fd) where (0...Int64(Int32.max)).contains(fd): return .socket(Int32(fd))
        default:
            throw ConfigurationReader.wrong("console", "must be \"stdio\" or the number of a listening socket")
        }
    }
}

extension MachineConfiguration.Disk {
    fileprivate init(_ reader: ConfigurationReader) throws(UrsaError) {
        var reader = reader
        layers = []
        for layer in try reader.objects("layers", atMost: 64) {
            var layer = layer
            guard let format = try layer.choice("format", MachineConfiguration.Layer.Format.self) else {
                throw ConfigurationReader.wrong(layer.key("format"), "is missing: it is never guessed")
            }
            layers.append(MachineConfiguration.Layer(fd: try layer.neededDescriptor("fd"), format: format))
            try layer.finish()
        }
        guard !layers.isEmpty else { throw ConfigurationReader.wrong(reader.key("layers"), "is missing") }
        isReadOnly = try reader.flag("readOnly", false)
        serial = try reader.text("serial") ?? ""
        guard serial.utf8.count <= 20, serial.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw ConfigurationReader.wrong(reader.key("serial"), "must have at most 20 visible ASCII characters")
        }
        try reader.finish()
    }
}

extension MachineConfiguration.NIC {
    fileprivate init(_ reader: ConfigurationReader) throws(UrsaError) {
        var reader = reader
        let taps = try reader.descriptors("tap", atMost: 8)
        let frames = try reader.descriptor("frames")
        let vhost = try reader.descriptors("vhost", atMost: 8)
        switch (taps.isEmpty, frames) {
        case (false, nil): backend = .tap(taps, vhost: vhost)
        case (true, let frames?) where vhost.isEmpty: backend = .frames(frames)
        default:
            throw ConfigurationReader.wrong(
                reader.key("tap"), "or frames must be there, and not both; vhost needs a tap")
        }
        guard vhost.isEmpty || vhost.count == taps.count else {
            throw ConfigurationReader.wrong(reader.key("vhost"), "must have as many descriptors as the tap")
        }
        guard let text = try reader.text("mac") else {
            throw ConfigurationReader.wrong(reader.key("mac"), "is missing")
        }
        guard let address = MACAddress(text) else {
            throw ConfigurationReader.wrong(reader.key("mac"), "is no Ethernet address")
        }
        mac = address
        mtu = try reader.integer("mtu", 68...65535).map { Int($0) }
        try reader.finish()
    }
}
