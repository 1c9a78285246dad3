public import UrsaBase
import UrsaModel

/// Builds QEMU's argument vector. Source: qemu-system-x86_64(1), QEMU's qapi/block-core.json and qapi/net.json.
///
/// Where QEMU takes JSON (`-blockdev`, `-netdev`, `-device`, `-object`), JSON is given, so no text of a person's is ever
/// read as syntax; elsewhere commas are doubled as QEMU's option parser wants it.
public struct QEMUCommand: Sendable {
    /// The arguments after the program's name.
    public let arguments: [String]

    /// The command for a machine.
    ///
    /// - Throws: `.unsupported` when QEMU can't do what is asked, `.usage` when a text contains a NUL byte.
    public init(_ machine: QEMUMachine) throws(UrsaError) {
        var builder = Builder()
        try builder.base(machine)
        builder.processor(machine)
        builder.sockets(machine)
        try builder.boot(machine.boot)
        try builder.disks(machine.disks)
        try builder.nics(machine.nics)
        builder.helpers()
        for argument in builder.arguments where argument.utf8.contains(0) {
            throw UrsaError(.usage, "a text for QEMU contains a NUL byte", place: "machine \(machine.name)")
        }
        arguments = builder.arguments
    }

    /// A text as a value in QEMU's `key=value,…` syntax: commas are doubled.
    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            if scalar == "," { result.unicodeScalars.append(",") }
            result.unicodeScalars.append(scalar)
        }
        return result
    }
}

extension QEMUCommand {
    /// Slots on the root bus are fixed, so that adding a disk never renames a network card in the guest.
    private enum Slot {
        static let firstDisk = 0x04
        static let firstNIC = 0x10
        static let entropy = 0x1a
        static let balloon = 0x1b
    }

    private struct Builder {
        var arguments: [String] = []

        mutating func add(_ words: String...) { arguments += words }
        mutating func add(_ option: String, _ json: JSON) { arguments += [option, json.text] }

        mutating func base(_ machine: QEMUMachine) throws(UrsaError) {
            // The type is compared, not escaped: it chooses code in QEMU.
            guard !machine.machineType.isEmpty,
                machine.machineType.utf8.allSatisfy({ $0.isLetterOrDigit || $0 == 45 || $0 == 46 || $0 == 95 })
            else { throw UrsaError(.usage, "\(machine.machineType) is no machine type of QEMU") }
            let name = QEMUCommand.escaped(machine.name)
            add("-name", "guest=\(name),process=ursa-\(name),debug-threads=on")
            add("-uuid", machine.uuid)
            // Nothing that was not asked for: no default devices, no configuration file, no screen.
            add("-nodefaults", "-no-user-config", "-display", "none", "-vga", "none")
            // Emulated hardware that no headless guest uses costs attack surface and boot time.
            add(
                "-machine",
                "\(machine.machineType),usb=off,vmport=off,smm=off,sata=off,smbus=off,i8042=off,dump-guest-core=off,"
                    + "mem-merge=on")
            add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
            add("-m", "size=\(machine.memory.bytes >> 20)M")
            add("-rtc", "base=utc,driftfix=slew")
            // A reboot goes on in place; a panic ends the machine and the keeper decides what follows.
            add("-action", "reboot=reset,shutdown=poweroff,panic=shutdown")
            add("-boot", "menu=off,strict=on,reboot-timeout=-1")
        }

        mutating func processor(_ machine: QEMUMachine) {
            switch machine.accelerator {
            case .kvm:
                add("-accel", "kvm")
                add("-cpu", "host,migratable=off")
            case .tcg:
                add("-accel", "tcg,thread=multi")
                // The x86-64-v2 level, which current distributions need, and rdrand so that no guest waits for entropy;
                // `max` would add what is slow to emulate.
                add("-cpu", "qemu64,+cx16,+lahf-lm,+popcnt,+sse4.1,+sse4.2,+ssse3,+rdrand,+smep")
            }
            add("-smp", "cpus=\(machine.cpus),sockets=1,cores=\(machine.cpus),threads=1")
        }

        mutating func sockets(_ machine: QEMUMachine) {
            // The keeper has connected before QEMU starts, so waiting costs nothing and no byte is lost.
            add("-chardev", "socket,id=console,fd=\(machine.consoleSocket),server=on,wait=on")
            add("-serial", "chardev:console")
            for (index, socket) in machine.monitorSockets.enumerated() {
                add("-chardev", "socket,id=monitor\(index),fd=\(socket),server=on,wait=off")
                add("-mon", "chardev=monitor\(index),mode=control")
            }
        }

        mutating func boot(_ boot: QEMUMachine.Boot) throws(UrsaError) {
            guard case .kernel(let kernel, let initrd, let text) = boot else { return }
            add("-kernel", "/proc/self/fd/\(kernel)")
            if let initrd { add("-initrd", "/proc/self/fd/\(initrd)") }
            // COMMAND_LINE_SIZE of x86 (arch/x86/include/asm/setup.h) with its NUL.
            guard text.utf8.count < 2048 else {
                throw UrsaError(.unsupported, "the kernel command line is longer than 2047 bytes")
            }
            add("-append", text)
        }

        mutating func disks(_ disks: [QEMUMachine.Disk]) throws(UrsaError) {
            guard disks.count <= 8 else { throw UrsaError(.unsupported, "a machine can have 8 disks at most") }
            for (index, disk) in disks.enumerated() {
                guard disk.backing.isEmpty || disk.image.format == .qcow2 else {
                    throw UrsaError(.unsupported, "only a qcow2 image can lie on another image")
                }
                // From the bottom up: each layer names the node below it, so QEMU never follows a name in a file.
                var below: String?
                for (depth, image) in disk.backing.enumerated().reversed() {
                    below = layer("disk\(index)-base\(depth)", image, below, isReadOnly: true)
                }
                let top = layer("disk\(index)", disk.image, below, isReadOnly: disk.isReadOnly)
                let serial = disk.serial.map { String(decoding: Array($0.utf8.prefix(20)), as: UTF8.self) }
                add(
                    "-device",
                    .record([
                        "driver": "virtio-blk-pci", "id": .string("vd\(index)"), "drive": .string(top),
                        "addr": .string(hex(Slot.firstDisk + index)), "bootindex": .integer(Int64(index + 1)),
                        "serial": serial.map(JSON.string),
                    ]))
            }
        }

        /// A file node and a format node above it; returns the latter's name.
        private mutating func layer(
            _ name: String, _ image: QEMUMachine.Image, _ below: String?, isReadOnly: Bool
        ) -> String {
            add("-add-fd", "fd=\(image.fd),set=\(image.fd)")
            let discard: JSON? = isReadOnly ? nil : "unmap"
            add(
                "-blockdev",
                .record([
                    "driver": "file", "node-name": .string(name + "-file"),
                    "filename": .string("/dev/fdset/\(image.fd)"), "read-only": .bool(isReadOnly),
                    "discard": discard, "aio": "threads",
                ]))
            add(
                "-blockdev",
                .record([
                    "driver": .string(image.format.rawValue), "node-name": .string(name),
                    "file": .string(name + "-file"), "read-only": .bool(isReadOnly), "discard": discard,
                    // An explicit null stops QEMU from opening what the image's header names.
                    "backing": image.format == .qcow2 ? below.map(JSON.string) ?? .null : nil,
                ]))
            return name
        }

        mutating func nics(_ nics: [QEMUMachine.NIC]) throws(UrsaError) {
            guard nics.count <= 8 else { throw UrsaError(.unsupported, "a machine can have 8 network cards at most") }
            for (index, nic) in nics.enumerated() {
                let id = JSON.string("net\(index)")
                var pairs = 1
                switch nic.backend {
                case .tap(let queues, let vhost):
                    pairs = queues.count
                    func list(_ numbers: [Int32]) -> JSON { .string(numbers.map { "\($0)" }.joined(separator: ":")) }
                    add(
                        "-netdev",
                        .record([
                            "type": "tap", "id": id, pairs > 1 ? "fds" : "fd": list(queues),
                            "vhost": .bool(!vhost.isEmpty),
                            pairs > 1 ? "vhostfds" : "vhostfd": vhost.isEmpty ? nil : list(vhost),
                        ]))
                case .frames(let fd):
                    add(
                        "-netdev",
                        .record([
                            "type": "dgram", "id": id, "local": ["type": "fd", "str": .string("\(fd)")],
                        ]))
                case .user(let ports):
                    let rules = try forwards(ports)
                    add(
                        "-netdev",
                        .record(["type": "user", "id": id, "hostfwd": rules.isEmpty ? nil : .array(rules)]))
                }
                add(
                    "-device",
                    .record([
                        "driver": "virtio-net-pci", "id": .string("nic\(index)"), "netdev": id,
                        "mac": .string(nic.mac.description), "addr": .string(hex(Slot.firstNIC + index)),
                        // No network boot: the option ROM would cost time at each start.
                        "romfile": "", "host_mtu": nic.mtu.map { .integer(Int64($0)) },
                        // A vector for each queue, one for the control queue, one for changes of the configuration.
                        "mq": pairs > 1 ? true : nil, "vectors": pairs > 1 ? .integer(Int64(2 * pairs + 2)) : nil,
                    ]))
            }
        }

        private func forwards(_ ports: [PublishSpec]) throws(UrsaError) -> [JSON] {
            var rules: [JSON] = []
            for port in ports {
                let address: String
                switch port.hostAddress {
                case nil: address = ""
                case .v4(let value): address = value.description
                case .v6:
                    throw UrsaError(
                        .unsupported, "QEMU's user network can't publish on an IPv6 address", place: "publish \(port)",
                        remedy: "publish on an IPv4 address, or put the machine on a nat network")
                }
                let rule = "\(port.transport.rawValue):\(address):\(port.hostPort)-:\(port.guestPort)"
                rules.append(["str": .string(rule)])
            }
            return rules
        }

        mutating func helpers() {
            add("-object", ["qom-type": "rng-builtin", "id": "entropy"])
            add(
                "-device",
                ["driver": "virtio-rng-pci", "rng": "entropy", "addr": .string(hex(Slot.entropy))])
            // Memory that the guest frees goes back to the host.
            add(
                "-device",
                [
                    "driver": "virtio-balloon-pci", "id": "balloon", "free-page-reporting": true,
                    "addr": .string(hex(Slot.balloon)),
                ])
            // Through it the guest's kernel says that it panicked.
            add("-device", ["driver": "pvpanic"])
        }

        private func hex(_ slot: Int) -> String { "0x" + String(slot, radix: 16) }
    }
}

extension UInt8 {
    fileprivate var isLetterOrDigit: Bool {
        (48...57).contains(self) || (65...90).contains(self) || (97...122).contains(self)
    }
}
