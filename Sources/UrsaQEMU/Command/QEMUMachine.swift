public import UrsaBase
public import UrsaModel

/// A machine in QEMU's own terms. All files, taps and sockets are descriptors that QEMU inherits: it opens nothing by
/// name except `/proc/self/fd` for a kernel.
public struct QEMUMachine: Sendable, Hashable {
    /// How guest code is executed.
    public enum Accelerator: String, Sendable, Hashable {
        /// The processor's virtualization.
        case kvm
        /// QEMU's translator.
        case tcg
    }

    /// What the machine starts from.
    public enum Boot: Sendable, Hashable {
        /// A Linux kernel (bzImage, or vmlinux with a PVH entry) with its initramfs and command line.
        case kernel(fd: Int32, initrd: Int32?, arguments: String)
        /// The firmware takes the first disk.
        case disk
    }

    /// Format of an image file.
    public enum ImageFormat: String, Sendable, Hashable {
        /// QEMU's copy-on-write format.
        case qcow2
        /// The plain bytes.
        case raw
    }

    /// One image file.
    public struct Image: Sendable, Hashable {
        /// The descriptor.
        public var fd: Int32
        /// What is in it.
        public var format: ImageFormat
        /// An image file.
        public init(fd: Int32, format: ImageFormat) {
            self.fd = fd
            self.format = format
        }
    }

    /// A virtio disk.
    public struct Disk: Sendable, Hashable {
        /// What the guest writes to.
        public var image: Image
        /// What lies below a qcow2 image, nearest first; read only.
        public var backing: [Image]
        /// Whether the guest may not write.
        public var isReadOnly: Bool
        /// Shown to the guest as the disk's serial number, at most 20 bytes; nil for none.
        public var serial: String?
        /// A disk.
        public init(image: Image, backing: [Image] = [], isReadOnly: Bool = false, serial: String? = nil) {
            self.image = image
            self.backing = backing
            self.isReadOnly = isReadOnly
            self.serial = serial
        }
    }

    /// A virtio network card.
    public struct NIC: Sendable, Hashable {
        /// What it is plugged into.
        public enum Backend: Sendable, Hashable {
            /// The queues of a tap interface, with as many descriptors of vhost where the kernel moves the packets.
            case tap(queues: [Int32], vhost: [Int32])
            /// A connected packet socket, each packet a frame (`-netdev dgram`): slower than a tap, needs no rights.
            case frames(fd: Int32)
            /// QEMU's own user-space NAT with these ports of the host leading in.
            case user([PublishSpec])
        }
        /// What it is plugged into.
        public var backend: Backend
        /// Its Ethernet address.
        public var mac: MACAddress
        /// Largest frame payload told to the guest, nil for the guest's default.
        public var mtu: Int?
        /// A card.
        public init(backend: Backend, mac: MACAddress, mtu: Int? = nil) {
            self.backend = backend
            self.mac = mac
            self.mtu = mtu
        }
    }

    /// Name shown in process lists and by QMP; any text without NUL.
    public var name: String
    /// UUID of the machine, the guest's `product_uuid`.
    public var uuid: String
    /// Versioned machine type, such as `pc-q35-7.2`, so that the guest's hardware never changes under it.
    public var machineType: String
    /// How guest code is executed.
    public var accelerator: Accelerator
    /// Virtual processors.
    public var cpus: Int
    /// Memory of the guest, whole MiB.
    public var memory: ByteCount
    /// What it starts from.
    public var boot: Boot
    /// Disks in order: `/dev/vda`, `/dev/vdb`, …; at most 8.
    public var disks: [Disk]
    /// Cards in order; at most 8.
    public var nics: [NIC]
    /// Listening socket of the serial console.
    public var consoleSocket: Int32
    /// Listening sockets of QMP monitors, the keeper's first.
    public var monitorSockets: [Int32]

    /// A machine without disks and cards.
    public init(
        name: String, uuid: String, machineType: String, accelerator: Accelerator, cpus: Int = 1,
        memory: ByteCount = .mebibytes(512), boot: Boot = .disk, disks: [Disk] = [], nics: [NIC] = [],
        consoleSocket: Int32, monitorSockets: [Int32]
    ) {
        self.name = name
        self.uuid = uuid
        self.machineType = machineType
        self.accelerator = accelerator
        self.cpus = cpus
        self.memory = memory
        self.boot = boot
        self.disks = disks
        self.nics = nics
        self.consoleSocket = consoleSocket
        self.monitorSockets = monitorSockets
    }
}
