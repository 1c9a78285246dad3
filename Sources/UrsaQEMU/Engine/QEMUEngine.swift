import Glibc
public import UrsaBase
public import UrsaKeeper
public import UrsaModel

/// Turns a machine of the spec into what the keeper runs: QEMU with every file, tap and socket handed over.
public enum QEMUEngine {
    /// One image file by path.
    public struct ImageFile: Sendable, Hashable {
        /// Absolute path.
        public var path: String
        /// What is in it.
        public var format: QEMUMachine.ImageFormat
        /// An image file.
        public init(path: String, format: QEMUMachine.ImageFormat) {
            self.path = path
            self.format = format
        }
    }

    /// What the machine starts from, by path.
    public struct Images: Sendable, Hashable {
        /// The machine's own disk, which it writes to; nil for a machine without.
        public var disk: ImageFile?
        /// What lies below the disk, nearest first; opened read only.
        public var backing: [ImageFile]
        /// A kernel to start directly (readable by the engine's user); nil to start from the disk.
        public var kernel: String?
        /// Its initramfs.
        public var initrd: String?
        /// Its command line, before the person's own arguments.
        public var kernelArguments: String
        /// A raw disk image with the first boot's data, given read only as the last disk.
        public var seed: String?
        /// What an engine without firmware starts instead of the disk's boot loader; QEMU goes by `kernel`.
        public var directKernel: DirectKernel?

        /// A kernel by path, with all that belongs to its start.
        public struct DirectKernel: Sendable, Hashable {
            /// An ELF file or a bzImage.
            public var kernel: String
            /// Its initramfs.
            public var initrd: String?
            /// Its command line, before the person's own arguments.
            public var arguments: String
            /// A kernel by path.
            public init(kernel: String, initrd: String?, arguments: String) {
                self.kernel = kernel
                self.initrd = initrd
                self.arguments = arguments
            }
        }

        /// The images of a machine.
        public init(
            disk: ImageFile? = nil, backing: [ImageFile] = [], kernel: String? = nil, initrd: String? = nil,
            kernelArguments: String = "", seed: String? = nil
        ) {
            self.disk = disk
            self.backing = backing
            self.kernel = kernel
            self.initrd = initrd
            self.kernelArguments = kernelArguments
            self.seed = seed
        }
    }

    /// A network card as the plan decided it.
    public enum NIC: Sendable, Hashable {
        /// Plugged into a tap that the caller holds, with a pair of queues for each of the tap's.
        case tap(mac: MACAddress, mtu: Int?, queues: Int = 1)
        /// Plugged into a socket that the caller holds, each packet of which is a frame.
        case frames(mac: MACAddress, mtu: Int?)
        /// Plugged into QEMU's user-space NAT; the first of them gets the machine's published ports.
        case user(mac: MACAddress)
    }

    /// The user that engines run as when root starts them, with the group that may use /dev/kvm.
    ///
    /// - Parameter user: user and group by number.
    public static func withKVM(_ user: Program.User) -> Program.User {
        guard let device = File.status("/dev/kvm") else { return user }
        var user = user
        if !user.groups.contains(device.st_gid) { user.groups.append(device.st_gid) }
        return user
    }

    /// The launch of a machine.
    ///
    /// The launch's `inherited` numbers are those of the tap and frame cards, in order, a tap's queues one after the other:
    /// the caller hands its taps to `Keeper.start` by them.
    /// - Parameters:
    ///   - spec: the machine.
    ///   - identity: the machine's identity, for events.
    ///   - uuid: the machine's UUID.
    ///   - qemu: the engine, from `QEMUProbe.find`.
    ///   - machineType: the type the machine was made with, nil for the newest.
    ///   - accelerator: as probed.
    ///   - images: what it starts from.
    ///   - nics: its cards in order.
    ///   - user: the user to run as, nil to stay the caller's.
    ///   - usesVhost: whether the kernel moves the packets of tap cards (/dev/vhost-net is opened by the keeper).
    ///   - settle: see `KeeperLaunch.settle`.
    ///   - eventsPath: see `KeeperLaunch.eventsPath`.
    /// - Throws: `.unsupported` when QEMU can't do what is asked.
    public static func make(
        _ spec: MachineSpec, identity: String, uuid: String, qemu: QEMUInstallation, machineType: String? = nil,
        accelerator: QEMUMachine.Accelerator, images: Images, nics: [NIC] = [], user: Program.User? = nil,
        usesVhost: Bool = false, settle: [String] = [], eventsPath: String? = nil
    ) throws(UrsaError) -> KeeperLaunch {
        if let machineType, !qemu.machineTypes.contains(machineType) {
            throw UrsaError(
                .unsupported, "QEMU \(qemu.version) does not have the machine type \(machineType)",
                place: "machine \(spec.name)", remedy: "install the QEMU that the machine was made with")
        }
        var next: Int32 = 13
        func number() -> Int32 {
            defer { next += 1 }
            return next
        }
        var files: [KeeperLaunch.EngineFile] = []
        func file(_ path: String, writable: Bool = false) -> Int32 {
            let fd = number()
            files.append(KeeperLaunch.EngineFile(fd: fd, path: Path.absolute(path), isWritable: writable))
            return fd
        }

        var machine = QEMUMachine(
            name: spec.name, uuid: uuid, machineType: machineType ?? qemu.machineType, accelerator: accelerator,
            cpus: spec.cpus, memory: spec.memory, consoleSocket: 10, monitorSockets: [11, 12])
        if let kernel = images.kernel {
            let words = [images.kernelArguments, spec.kernelArguments ?? ""].filter { !$0.isEmpty }
            machine.boot = .kernel(
                fd: file(kernel), initrd: images.initrd.map { file($0) }, arguments: words.joined(separator: " "))
        }
        if let disk = images.disk {
            machine.disks.append(
                QEMUMachine.Disk(
                    image: .init(fd: file(disk.path, writable: true), format: disk.format),
                    backing: images.backing.map { .init(fd: file($0.path), format: $0.format) }, serial: "root"))
        }
        if let seed = images.seed {
            machine.disks.append(
                QEMUMachine.Disk(image: .init(fd: file(seed), format: .raw), isReadOnly: true, serial: "seed"))
        }
        var inherited: [Int32] = []
        var ports = spec.publish
        for nic in nics {
            switch nic {
            case .tap(let mac, let mtu, let count):
                let queues = (0..<count).map { _ in number() }
                inherited += queues
                let vhost = usesVhost ? queues.map { _ in file("/dev/vhost-net", writable: true) } : []
                machine.nics.append(.init(backend: .tap(queues: queues, vhost: vhost), mac: mac, mtu: mtu))
            case .frames(let mac, let mtu):
                let fd = number()
                inherited.append(fd)
                machine.nics.append(.init(backend: .frames(fd: fd), mac: mac, mtu: mtu))
            case .user(let mac):
                machine.nics.append(.init(backend: .user(ports), mac: mac))
                ports = []
            }
        }
        let launch = KeeperLaunch(
            machine: identity, name: spec.name, program: qemu.path, arguments: try QEMUCommand(machine).arguments,
            user: user, files: files, inherited: inherited,
            sockets: sockets, restart: restart(spec.restart), stopTimeout: spec.stopTimeout, settle: settle,
            eventsPath: eventsPath)
        try launch.validate()
        return launch
    }

    /// The sockets of every engine: console, the keeper's monitor, people's monitor.
    public static let sockets: [KeeperLaunch.EngineSocket] = [
        .init(name: "console.sock", fd: 10, purpose: .console),
        .init(name: "engine.sock", fd: 11, purpose: .monitor),
        .init(name: "qmp.sock", fd: 12, purpose: .people),
    ]

    /// What QEMU is not given of what a machine may ask for, each with what to do about it.
    ///
    /// QEMU's only vsock is the kernel's (vhost_vsock): the host's side of it are sockets of another family, that every
    /// program of the host can reach and that know no folder. A machine would have to be used differently with each engine.
    public static func lacks(_ spec: MachineSpec) -> [UrsaError] {
        guard spec.vsock else { return [] }
        return [
            UrsaError(
                .unsupported, "QEMU has no vsock over unix sockets", place: "machine \(spec.name), vsock",
                remedy: "take `engine: native`, or leave `vsock` out")
        ]
    }

    /// A spec's policy as the keeper has it.
    public static func restart(_ policy: RestartPolicy) -> KeeperLaunch.Restart {
        switch policy {
        case .never: .never
        case .onFailure(let limit): .onFailure(limit: limit)
        case .always: .always
        }
    }
}
