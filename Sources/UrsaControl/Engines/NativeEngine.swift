import Glibc
import UrsaBase
import UrsaKeeper
import UrsaModel
import UrsaQEMU

/// Turns a machine of the spec into what the keeper runs: our own monitor with every file, tap and socket handed over.
///
/// Disks and cards have the places that they have in QEMU's machine (`QEMUCommand`), so a guest finds its names again
/// whichever engine runs it.
enum NativeEngine {
    /// The program's name.
    static let programName = "ursa-vmm"
    /// What is kept as the machine type of a machine that was made for this engine.
    static let machineType = "ursa-1"

    /// Bounds of the engine's configuration (`MachineConfiguration`).
    private static let mostProcessors = 254
    private static let mostMemory = ByteCount(1 << 40)
    private static let mostCards = 10

    /// What the engine can't do of what a machine asks for, each with what to do about it; empty when it can run it.
    ///
    /// - Parameter cards: of each card whether it is plugged into a network of the kernel's, in order.
    static func lacks(_ spec: MachineSpec, images: QEMUEngine.Images, cards: [Bool]) -> [UrsaError] {
        var lacks: [UrsaError] = []
        func lack(_ what: String, _ place: String, _ remedy: String) {
            lacks.append(UrsaError(.unsupported, what, place: "machine \(spec.name), \(place)", remedy: remedy))
        }
        if images.directKernel == nil {
            lack(
                "the native engine has no firmware, and the image \(spec.image) brings no kernel to start", "image",
                "take `engine: qemu`, or an image that `ursa image build` makes")
        }
        if spec.cpus > mostProcessors {
            lack(
                "the native engine has at most \(mostProcessors) processors, not \(spec.cpus)", "cpus",
                "take `engine: qemu`, or fewer processors")
        }
        if spec.memory > mostMemory {
            lack(
                "the native engine has at most \(mostMemory) of memory, not \(spec.memory)", "memory",
                "take `engine: qemu`, or less memory")
        }
        if cards.count > mostCards {
            lack(
                "the native engine has at most \(mostCards) network cards, not \(cards.count)", "networks",
                "leave some of them out")
        }
        for (position, isPlugged) in cards.enumerated() where !isPlugged {
            lack(
                "the native engine has no user networking of its own", "networks[\(position)]",
                "take `engine: qemu`, or a network of the kernel's (`ursa doctor` tells what keeps you from it)")
        }
        return lacks
    }

    /// The launch of a machine; see `QEMUEngine.make`, whose parameters these are.
    ///
    /// - Parameter vsock: where the machine's vsock is, when it has one.
    /// - Throws: what `lacks` tells.
    static func make(
        _ spec: MachineSpec, identity: String, uuid: String, program: String, images: QEMUEngine.Images,
        nics: [QEMUEngine.NIC], user: Program.User?, usesVhost: Bool, settle: [String], eventsPath: String?,
        vsock: VsockView? = nil
    ) throws(UrsaError) -> KeeperLaunch {
        let isPlugged = nics.map { if case .user = $0 { false } else { true } }
        if let error = UrsaError.all(lacks(spec, images: images, cards: isPlugged)) { throw error }
        var next: Int32 = 13
        func number() -> Int32 {
            defer { next += 1 }
            return next
        }
        var files: [KeeperLaunch.EngineFile] = []
        func file(_ path: String, writable: Bool = false) -> JSON {
            let fd = number()
            files.append(KeeperLaunch.EngineFile(fd: fd, path: Path.absolute(path), isWritable: writable))
            return .integer(Int64(fd))
        }

        let kvm = file("/dev/kvm", writable: true)
        var boot: JSON?
        if let kernel = images.directKernel {
            let words = [kernel.arguments, spec.kernelArguments ?? ""].filter { !$0.isEmpty }.joined(separator: " ")
            // COMMAND_LINE_SIZE of x86 (arch/x86/include/asm/setup.h) with its NUL.
            guard words.utf8.count < 2048 else {
                throw UrsaError(
                    .unsupported, "the kernel command line is longer than 2047 bytes", place: "machine \(spec.name)")
            }
            boot = .record([
                "kernel": file(kernel.kernel), "initrd": kernel.initrd.map { file($0) }, "arguments": .string(words),
            ])
        }
        var disks: [JSON] = []
        if let disk = images.disk {
            var layers: [JSON] = []
            for (depth, layer) in ([disk] + images.backing).enumerated() {
                let fd = file(layer.path, writable: depth == 0)
                layers.append(["fd": fd, "format": .string(layer.format.rawValue)])
            }
            disks.append(["layers": .array(layers), "readOnly": false, "serial": "root"])
        }
        if let seed = images.seed {
            let layer: JSON = ["fd": file(seed), "format": "raw"]
            disks.append(["layers": [layer], "readOnly": true, "serial": "seed"])
        }
        var inherited: [Int32] = []
        var cards: [JSON] = []
        func plug(_ kind: String, _ mac: MACAddress, _ mtu: Int?, queues: Int = 1, vhost: [JSON]? = nil) {
            let numbers = (0..<queues).map { _ in number() }
            inherited += numbers
            let list = numbers.map { JSON.integer(Int64($0)) }
            cards.append(
                .object(
                    [JSON.Member(kind, list.count == 1 ? list[0] : .array(list))]
                        + [JSON.Member("mac", .string(mac.description))]
                        + (mtu.map { [JSON.Member("mtu", .integer(Int64($0)))] } ?? [])
                        + (vhost.map { [JSON.Member("vhost", .array($0))] } ?? [])))
        }
        for nic in nics {
            switch nic {
            case .tap(let mac, let mtu, let queues):
                let kernel = usesVhost ? (0..<queues).map { _ in file("/dev/vhost-net", writable: true) } : nil
                plug("tap", mac, mtu, queues: queues, vhost: kernel)
            case .frames(let mac, let mtu): plug("frames", mac, mtu)
            case .user: break
            }
        }
        var sockets = QEMUEngine.sockets
        var switchboard: JSON?
        if let vsock {
            let listener = number()
            sockets.append(.init(name: Path.name(vsock.socket), fd: listener, purpose: .people))
            switchboard = [
                "cid": .integer(Int64(vsock.cid)), "listen": .integer(Int64(listener)), "folder": file(vsock.folder),
            ]
        }
        let configuration: JSON = .record([
            "name": .string(spec.name), "uuid": .string(uuid), "cpus": .integer(Int64(spec.cpus)),
            "memory": .integer(Int64(clamping: spec.memory.bytes)), "kvm": kvm, "profile": "pci", "hugePages": false,
            "mergeable": true, "boot": boot, "disks": .array(disks), "nics": .array(cards), "console": 10,
            "monitors": [11, 12], "entropy": true, "balloon": true, "vsock": switchboard,
        ])
        let launch = KeeperLaunch(
            machine: identity, name: spec.name, program: program, arguments: [configuration.text], user: user,
            files: files, inherited: inherited, sockets: sockets,
            restart: QEMUEngine.restart(spec.restart), stopTimeout: spec.stopTimeout, settle: settle,
            eventsPath: eventsPath)
        try launch.validate()
        return launch
    }
}
