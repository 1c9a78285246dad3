import Glibc
import UrsaBase
import UrsaImages

/// A real guest: QEMU's translator, serial console and QMP on sockets of the test's folder.
final class Guest {
    private let process: OwnedProcess
    private let console: OwnedFD
    private let control: OwnedFD
    private(set) var output = ""
    let started = Deadline.now

    init(
        _ image: Image, folder: String, disk: String? = nil, seed: String? = nil, words: String = "",
        forward: [UInt16: UInt16] = [:],
        memory: Int = 128
    ) throws(UrsaError) {
        let consolePath = folder + "/console"
        let controlPath = folder + "/qmp"
        let forwards = forward.map { ",hostfwd=tcp:127.0.0.1:\($0.key)-:\($0.value)" }.joined()
        var arguments = [
            "-M", "q35", "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none", "-m", "\(memory)",
            "-no-reboot", "-S", "-chardev", "socket,id=console,path=\(consolePath),server=on,wait=off", "-serial",
            "chardev:console",
            "-qmp", "unix:\(controlPath),server=on,wait=off", "-netdev", "user,id=net\(forwards)",
            "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci",
        ]
        if case .kernel(let boot) = image.boot {
            arguments += ["-kernel", boot.kernel, "-append", boot.arguments + " " + words]
            if let initrd = boot.initrd { arguments += ["-initrd", initrd] }
        }
        if let disk { arguments += ["-drive", "file=\(disk),format=qcow2,if=virtio"] }
        if let seed { arguments += ["-drive", "file=\(seed),format=raw,if=virtio,readonly=on"] }
        var program = Program("qemu-system-x86_64", arguments)
        program.descriptors[2] = 2
        process = OwnedProcess(try program.start())
        let deadline = Deadline.after(seconds: 20)
        func connect(_ path: String) throws(UrsaError) -> OwnedFD {
            while true {
                do throws(UrsaError) { return try UnixSocket.connect(path) } catch {
                    if deadline.isPast { throw error }
                    pause(milliseconds: 10)
                }
            }
        }
        console = try connect(consolePath)
        control = try connect(controlPath)
        try command("qmp_capabilities")
        try command("cont")
    }

    /// Sends a QMP command without looking at the answer.
    func command(_ name: String) throws(UrsaError) {
        try control.writeAll(JSON.record(["execute": .string(name)]).line, to: "qmp")
    }

    /// Types on the console.
    func type(_ text: String) throws(UrsaError) { try console.writeAll(Array(text.utf8), to: "console") }

    /// Reads the console until a text appears; false when the time is over or the guest ended.
    func wait(for text: String, seconds: Double) -> Bool {
        let deadline = Deadline.after(seconds: seconds)
        var buffer = [UInt8](repeating: 0, count: 65536)
        while !output.contains(text) {
            var waiting = pollfd(fd: console.raw, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, deadline.millisecondsLeft) > 0 else { return false }
            let count = read(console.raw, &buffer, buffer.count)
            guard count > 0 else { return false }
            output += String(decoding: buffer[0..<count], as: UTF8.self)
        }
        return true
    }

    /// Waits until the guest has switched itself off; nil when it has not in time.
    func end(seconds: Double) throws(UrsaError) -> ProcessEnd? {
        guard try process.child.waitForEnd(until: .after(seconds: seconds)) else { return nil }
        return try process.child.wait()
    }
}

/// A process that ends with its owner at the latest.
final class OwnedProcess {
    let child: Child

    init(_ child: consuming Child) { self.child = child }

    deinit {
        child.signal(SIGKILL)
        _ = try? child.wait()
    }
}

/// What a program prints, or its errors.
func output(_ program: String, _ arguments: [String]) throws(UrsaError) -> String {
    try Program(program, arguments).require("run \(program)", seconds: 120)
}

/// A TCP port of the loopback address that nobody used a moment ago.
func freePort() -> UInt16 {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(fd) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            _ = bind(fd, $0, length)
            _ = getsockname(fd, $0, &length)
        }
    }
    return UInt16(bigEndian: address.sin_port)
}
