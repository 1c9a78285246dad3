import TestSupport
import Testing
import UrsaBase
import UrsaKeeper
import UrsaModel

@testable import UrsaQEMU

@Suite
struct QEMUCommandTests {
    private func machine(_ name: String = "web") -> QEMUMachine {
        QEMUMachine(
            name: name, uuid: "6b1c6dba-8a0c-4b3c-9d5b-0c8f3c0e4a11", machineType: "pc-q35-7.2", accelerator: .tcg,
            consoleSocket: 10, monitorSockets: [11, 12])
    }

    /// The words after each occurrence of an option.
    private func values(_ option: String, _ arguments: [String]) -> [String] {
        zip(arguments, arguments.dropFirst()).filter { $0.0 == option }.map(\.1)
    }

    @Test("a machine without disks and cards is exactly this command")
    func plain() throws {
        #expect(
            try QEMUCommand(machine()).arguments == [
                "-name", "guest=web,process=ursa-web,debug-threads=on",
                "-uuid", "6b1c6dba-8a0c-4b3c-9d5b-0c8f3c0e4a11",
                "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
                "-machine",
                "pc-q35-7.2,usb=off,vmport=off,smm=off,sata=off,smbus=off,i8042=off,dump-guest-core=off,mem-merge=on",
                "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
                "-m", "size=512M",
                "-rtc", "base=utc,driftfix=slew",
                "-action", "reboot=reset,shutdown=poweroff,panic=shutdown",
                "-boot", "menu=off,strict=on,reboot-timeout=-1",
                "-accel", "tcg,thread=multi",
                "-cpu", "qemu64,+cx16,+lahf-lm,+popcnt,+sse4.1,+sse4.2,+ssse3,+rdrand,+smep",
                "-smp", "cpus=1,sockets=1,cores=1,threads=1",
                "-chardev", "socket,id=console,fd=10,server=on,wait=on", "-serial", "chardev:console",
                "-chardev", "socket,id=monitor0,fd=11,server=on,wait=off", "-mon", "chardev=monitor0,mode=control",
                "-chardev", "socket,id=monitor1,fd=12,server=on,wait=off", "-mon", "chardev=monitor1,mode=control",
                "-object", #"{"qom-type":"rng-builtin","id":"entropy"}"#,
                "-device", #"{"driver":"virtio-rng-pci","rng":"entropy","addr":"0x1a"}"#,
                "-device", #"{"driver":"virtio-balloon-pci","id":"balloon","free-page-reporting":true,"addr":"0x1b"}"#,
                "-device", #"{"driver":"pvpanic"}"#,
            ])
    }

    @Test("a kernel, its initramfs and command line come by descriptor and as one word")
    func kernel() throws {
        var machine = machine()
        machine.accelerator = .kvm
        machine.cpus = 4
        machine.boot = .kernel(fd: 13, initrd: 14, arguments: "console=ttyS0 quiet x=a,b")
        let arguments = try QEMUCommand(machine).arguments
        #expect(values("-kernel", arguments) == ["/proc/self/fd/13"])
        #expect(values("-initrd", arguments) == ["/proc/self/fd/14"])
        #expect(values("-append", arguments) == ["console=ttyS0 quiet x=a,b"])
        #expect(values("-accel", arguments) == ["kvm"])
        #expect(values("-smp", arguments) == ["cpus=4,sockets=1,cores=4,threads=1"])
    }

    @Test("an overlay names the layers below it, and the lowest layer is told that nothing is below")
    func overlay() throws {
        var machine = machine()
        machine.disks = [
            .init(
                image: .init(fd: 20, format: .qcow2),
                backing: [.init(fd: 21, format: .qcow2), .init(fd: 22, format: .raw)], serial: "root")
        ]
        let arguments = try QEMUCommand(machine).arguments
        #expect(values("-add-fd", arguments) == ["fd=22,set=22", "fd=21,set=21", "fd=20,set=20"])
        #expect(
            values("-blockdev", arguments) == [
                #"{"driver":"file","node-name":"disk0-base1-file","filename":"/dev/fdset/22","read-only":true,"#
                    + #""aio":"threads"}"#,
                #"{"driver":"raw","node-name":"disk0-base1","file":"disk0-base1-file","read-only":true}"#,
                #"{"driver":"file","node-name":"disk0-base0-file","filename":"/dev/fdset/21","read-only":true,"#
                    + #""aio":"threads"}"#,
                #"{"driver":"qcow2","node-name":"disk0-base0","file":"disk0-base0-file","read-only":true,"#
                    + #""backing":"disk0-base1"}"#,
                #"{"driver":"file","node-name":"disk0-file","filename":"/dev/fdset/20","read-only":false,"#
                    + #""discard":"unmap","aio":"threads"}"#,
                #"{"driver":"qcow2","node-name":"disk0","file":"disk0-file","read-only":false,"discard":"unmap","#
                    + #""backing":"disk0-base0"}"#,
            ])
        #expect(
            values("-device", arguments).first
                == #"{"driver":"virtio-blk-pci","id":"vd0","drive":"disk0","addr":"0x4","bootindex":1,"serial":"root"}"#
        )
        machine.disks[0].backing = []
        #expect(try values("-blockdev", QEMUCommand(machine).arguments)[1].hasSuffix(#""backing":null}"#))
    }

    @Test("cards: a tap by its descriptor, the user network with the published ports")
    func nics() throws {
        var machine = machine()
        machine.nics = [
            .init(backend: .tap(queues: [30], vhost: []), mac: MACAddress(0x5254_0000_0001), mtu: 1400),
            .init(backend: .tap(queues: [31], vhost: [32]), mac: MACAddress(0x5254_0000_0002)),
            .init(
                backend: .user([
                    PublishSpec(hostPort: 8080, guestPort: 80),
                    PublishSpec(
                        hostAddress: .v4(IPv4Address(0x7f00_0001)), hostPort: 53, guestPort: 5353, transport: .udp),
                ]), mac: MACAddress(0x5254_0000_0003)),
        ]
        let arguments = try QEMUCommand(machine).arguments
        #expect(
            values("-netdev", arguments) == [
                #"{"type":"tap","id":"net0","fd":"30","vhost":false}"#,
                #"{"type":"tap","id":"net1","fd":"31","vhost":true,"vhostfd":"32"}"#,
                #"{"type":"user","id":"net2","hostfwd":[{"str":"tcp::8080-:80"},{"str":"udp:127.0.0.1:53-:5353"}]}"#,
            ])
        #expect(
            values("-device", arguments).prefix(2) == [
                #"{"driver":"virtio-net-pci","id":"nic0","netdev":"net0","mac":"52:54:00:00:00:01","addr":"0x10","#
                    + #""romfile":"","host_mtu":1400}"#,
                #"{"driver":"virtio-net-pci","id":"nic1","netdev":"net1","mac":"52:54:00:00:00:02","addr":"0x11","#
                    + #""romfile":""}"#,
            ])
    }

    @Test("a tap with several queues: as many pairs of the card, with vhost for each")
    func queues() throws {
        var machine = machine()
        machine.nics = [
            .init(backend: .tap(queues: [30, 31], vhost: [32, 33]), mac: MACAddress(0x5254_0000_0001)),
            .init(backend: .tap(queues: [34, 35], vhost: []), mac: MACAddress(0x5254_0000_0002)),
        ]
        let arguments = try QEMUCommand(machine).arguments
        #expect(
            values("-netdev", arguments) == [
                #"{"type":"tap","id":"net0","fds":"30:31","vhost":true,"vhostfds":"32:33"}"#,
                #"{"type":"tap","id":"net1","fds":"34:35","vhost":false}"#,
            ])
        #expect(values("-device", arguments).first?.hasSuffix(#""romfile":"","mq":true,"vectors":6}"#) == true)
    }

    @Test("what QEMU can't do is said before it is started")
    func refusals() throws {
        var machine = machine()
        machine.nics = [
            .init(
                backend: .user([PublishSpec(hostAddress: IPAddress("::1"), hostPort: 1, guestPort: 1)]),
                mac: MACAddress(0x5254_0000_0001))
        ]
        #expect(#expect(throws: UrsaError.self) { try QEMUCommand(machine) }?.code == .unsupported)
        machine.nics = []
        machine.boot = .kernel(fd: 13, initrd: nil, arguments: String(repeating: "x", count: 2048))
        #expect(#expect(throws: UrsaError.self) { try QEMUCommand(machine) }?.code == .unsupported)
        machine.boot = .disk
        machine.disks = [.init(image: .init(fd: 20, format: .raw), backing: [.init(fd: 21, format: .raw)])]
        #expect(#expect(throws: UrsaError.self) { try QEMUCommand(machine) }?.code == .unsupported)
        machine.disks = []
        machine.machineType = "q35,accel=kvm"
        #expect(throws: UrsaError.self) { try QEMUCommand(machine) }
        #expect(throws: UrsaError.self) { try QEMUCommand(self.machine("a\u{0}b")) }
    }

    @Test("10,000 random names add no word and no option: undoing the escapes gives the name back")
    func injection() throws {
        var random = Seeded(3)
        let pieces = [
            ",", ",,", "=", "\"", "'", "\\", "\n", " ", "-", "{", "}", "ü", "readconfig=/etc/passwd", "a", "%",
        ]
        let plain = try QEMUCommand(machine()).arguments
        for _ in 0..<10_000 {
            let name = (0..<Int.random(in: 0..<8, using: &random)).map { _ in
                pieces[Int.random(in: 0..<pieces.count, using: &random)]
            }.joined()
            let arguments = try QEMUCommand(machine(name)).arguments
            #expect(arguments.count == plain.count && arguments.dropFirst(2) == plain.dropFirst(2))
            // QEMU's parser (util/keyval.c, qemu-option.c): a single comma ends a value, two are one.
            var fields: [String] = [""]
            var rest = Array(arguments[1].unicodeScalars)[...]
            while let scalar = rest.popFirst() {
                if scalar == ",", rest.first != "," {
                    fields.append("")
                    continue
                }
                if scalar == "," { rest.removeFirst() }
                fields[fields.count - 1].unicodeScalars.append(scalar)
            }
            try #require(fields == ["guest=\(name)", "process=ursa-\(name)", "debug-threads=on"])
        }
    }
}

@Suite
struct QEMUProbeTests {
    @Test("versions are read from what distributions print, and old ones refused")
    func versions() throws {
        #expect(
            try QEMUProbe.parseVersion("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright")
                == "7.2.22")
        #expect(try QEMUProbe.parseVersion("QEMU emulator version 10.1.0 (qemu-10.1.0-1.fc43)") == "10.1.0")
        for text in ["QEMU emulator version 6.2.0", "QEMU", "version", "version x", ""] {
            #expect(throws: UrsaError.self) { try QEMUProbe.parseVersion(text) }
        }
    }

    @Test("the newest q35 type is found by number, not by letters, and deprecated ones are left out")
    func types() {
        let text = """
            Supported machines are:
            microvm              microvm (i386)
            pc-q35-7.2           Standard PC (Q35 + ICH9, 2009)
            q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-10.1)
            pc-q35-10.1          Standard PC (Q35 + ICH9, 2009)
            pc-q35-2.4           Standard PC (Q35 + ICH9, 2009) (deprecated)
            pc-q35-x             nonsense
            pc-q35-9.2           Standard PC (Q35 + ICH9, 2009)
            """
        #expect(QEMUProbe.parseMachineTypes(text) == ["pc-q35-10.1", "pc-q35-9.2", "pc-q35-7.2"])
    }

    @Test(
        "this host's QEMU is found, and the cache holds until the program changes",
        .enabled(if: Path.program(QEMUProbe.programName) != nil, "qemu-system-x86_64 is not installed"))
    func cache() throws {
        let bench = try Bench()
        let cache = bench.folder + "/qemu.json"
        let found = try QEMUProbe.find(cache: cache)
        #expect(found.machineTypes.first == found.machineType && found.machineType.hasPrefix("pc-q35-"))
        // A marked cache shows that it is used.
        let text = try File.readText(cache).replacing(found.version, with: "99.9")
        try File.replace(cache, text: text)
        #expect(try QEMUProbe.find(cache: cache).version == "99.9")
        // Another program, or a broken cache, is asked anew.
        let copy = bench.folder + "/qemu"
        try File.replace(copy, text: "#!/bin/sh\nexec \(found.path) \"$@\"\n", mode: 0o755)
        #expect(try QEMUProbe.find(cache: cache, program: copy).version == found.version)
        try File.replace(cache, text: "{broken")
        #expect(try QEMUProbe.find(cache: cache).version == found.version)
        #expect(throws: UrsaError.self) { try QEMUProbe.find(program: bench.folder + "/none") }
    }
}
