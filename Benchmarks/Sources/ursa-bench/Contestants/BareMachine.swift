import Glibc
import UrsaBase

/// A monitor with the bare guest of Tests/Guests: ours or QEMU, both on /dev/kvm, with one processor, 64 MiB and devices
/// on virtio-mmio.
struct BareMachine {
    /// Whose.
    enum Monitor: Hashable {
        case ours
        /// The machine type microvm, with one of the ways in which QEMU reads and writes files, from its main loop or from a
        /// thread of the disk's own.
        case qemu(aio: String, ownThread: Bool)
    }

    /// What a job of the guest took.
    struct Result {
        /// Requests done.
        var count: Double
        /// Time on processors of the monitor's threads in µs: all of them, and without the guest's processor.
        var processor: Double
        var ownProcessor: Double
    }

    let monitor: Monitor
    let program: String
    /// The guest as an ELF file.
    let guest: String
    /// A raw image, and a tap, both used where they are there.
    var disk: String?
    var tap: String?

    /// Starts, lets the guest do its jobs, and ends it; a result for each job. Also the milliseconds from the program's start
    /// to the guest's first sign of life, which is the third of its instructions.
    func run(_ jobs: [String]) throws(UrsaError) -> (start: Double, results: [Result]) {
        let text = (jobs + ["stay"]).joined(separator: " ")
        var machine = Program(program, [])
        machine.diesWithParent = true
        let kvm = try File.open("/dev/kvm", O_RDWR)
        let kernel = try File.open(guest, O_RDONLY)
        let image = try SharedFD(File.open(disk ?? "/dev/null", O_RDWR))
        let card = try SharedFD(openTap())
        machine.descriptors[2] = 2
        if monitor == .ours {
            machine.descriptors[10] = kvm.raw
            machine.descriptors[11] = kernel.raw
            if disk != nil { machine.descriptors[12] = image.raw }
        }
        if tap != nil { machine.descriptors[13] = card.raw }
        machine.arguments = monitor == .ours ? [ourConfiguration(text)] : qemuArguments(text)
        var output = try BareMachine.pipe()
        machine.descriptors[1] = output.write?.raw
        let begun = Deadline.now
        let child = try machine.start()
        // Nobody else keeps the other end, so that the program's end is seen.
        output.write = nil
        let console = GuestConsole(output.read, "\(monitor)")
        defer {
            child.signal(SIGKILL)
            _ = try? child.wait()
        }
        try console.waitForFirstByte()
        let start = Deadline.now.seconds(since: begun) * 1000
        var results: [Result] = []
        for job in jobs {
            _ = try console.line("begin ")
            var flood: FrameFlood?
            if let tap, job.hasPrefix("echo") {
                _ = try console.line("ready")
                flood = try FrameFlood(over: tap)
            }
            defer { flood?.stop() }
            let before = try Times(child.pid)
            let words = try console.line("end ").split(separator: " ")
            let after = try Times(child.pid)
            guard words.count == 3, let count = Double(words[1]), words[2] == "0" else {
                throw UrsaError(
                    .io, "\(monitor): the guest got wrong answers in \(job): \(words.joined(separator: " "))")
            }
            results.append(
                Result(count: count, processor: after.all - before.all, ownProcessor: after.own - before.own))
        }
        return (start, results)
    }

    private static func pipe() throws(UrsaError) -> (read: SharedFD, write: SharedFD?) {
        let ends = try makePipe()
        return (SharedFD(try ends.read.duplicate()), SharedFD(try ends.write.duplicate()))
    }

    private func ourConfiguration(_ jobs: String) -> String {
        let nothing: JSON? = nil
        return JSON.record([
            "kvm": 10, "memory": .integer(64 << 20), "console": "stdio", "profile": "mmio", "entropy": false,
            "boot": ["kernel": 11, "arguments": .string(jobs)],
            "disks": disk == nil ? nothing : .array([["layers": .array([["fd": 12, "format": "raw"]])]]),
            "nics": tap == nil ? nothing : .array([["tap": 13, "mac": "52:54:00:00:00:01"]]),
        ]).text
    }

    private func qemuArguments(_ jobs: String) -> [String] {
        // Without the register that lists mitigations, which not every KVM lets QEMU set.
        var words = [
            "-accel", "kvm", "-M", "microvm,auto-kernel-cmdline=off", "-cpu", "host,-arch-capabilities", "-m", "64",
            "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", "-name", "bare,debug-threads=on",
            "-global", "virtio-mmio.force-legacy=false", "-kernel", guest, "-append", jobs,
        ]
        guard case .qemu(let aio, let ownThread) = monitor else { return words }
        if let disk {
            words += ["-drive", "if=none,id=disk,format=raw,cache=writeback,aio=\(aio),file=\(disk)"]
            if ownThread { words += ["-object", "iothread,id=thread"] }
            words += ["-device", "virtio-blk-device,drive=disk" + (ownThread ? ",iothread=thread" : "")]
        }
        if tap != nil { words += ["-netdev", "tap,id=net,fd=13", "-device", "virtio-net-device,netdev=net"] }
        return words
    }

    /// The tap with offloads for its reader, up and without addresses; the one who asks makes it anew.
    private func openTap() throws(UrsaError) -> OwnedFD {
        guard let tap else { return try File.open("/dev/null", O_RDWR) }
        let fd = try File.open("/dev/net/tun", O_RDWR)
        // struct ifreq: a name of 16 bytes, then IFF_TAP, IFF_NO_PI and IFF_VNET_HDR (linux/if_tun.h).
        var request = Array(tap.utf8) + [UInt8](repeating: 0, count: 40 - tap.utf8.count)
        (request[16], request[17]) = (0x02, 0x50)
        let setInterface: UInt = 0x4004_54ca
        try retrying("open the tap \(tap)") {
            request.withUnsafeMutableBytes { bytes in
                bytes.baseAddress.map { ioctl(fd.raw, setInterface, $0) } ?? -1
            }
        }
        try Program("ip", ["link", "set", tap, "addrgenmode", "none"]).require("set up a tap")
        try Program("ip", ["link", "set", tap, "up"]).require("set up a tap")
        return fd
    }
}

/// Processor times of a process's threads, in µs (/proc/PID/task/TID/schedstat, to the nanosecond).
private struct Times {
    var all = 0.0
    var own = 0.0

    init(_ pid: Int32) throws(UrsaError) {
        for thread in File.list("/proc/\(pid)/task") {
            let folder = "/proc/\(pid)/task/\(thread)"
            guard let name = File.peek(folder + "/comm"),
                let time = File.peek(folder + "/schedstat")?.split(separator: " ").first.flatMap({ Double($0) })
            else { continue }
            all += time / 1000
            // The guest's processor: `cpu0` here, `CPU 0/KVM` there.
            if !name.lowercased().hasPrefix("cpu") { own += time / 1000 }
        }
        guard all > 0 else { throw UrsaError(.io, "process \(pid) ended, or the kernel tells no times of threads") }
    }
}

/// The lines of a guest's serial port.
private final class GuestConsole {
    private let fd: SharedFD
    private let monitor: String
    private var heard: [UInt8] = []
    private static let patience = 120.0

    init(_ fd: SharedFD, _ monitor: String) {
        self.fd = fd
        self.monitor = monitor
    }

    func waitForFirstByte() throws(UrsaError) {
        while heard.isEmpty { try read() }
    }

    /// The next line that begins so; those before it are forgotten.
    func line(_ start: String) throws(UrsaError) -> String {
        while true {
            while let end = heard.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: heard[..<end], as: UTF8.self)
                heard.removeFirst(end + 1)
                if line.hasPrefix(start) { return line }
                if line.hasPrefix("failed") { throw UrsaError(.io, "\(monitor): the guest \(line)") }
            }
            try read()
        }
    }

    private func read() throws(UrsaError) {
        var waiting = pollfd(fd: fd.raw, events: Int16(POLLIN), revents: 0)
        let deadline = Deadline.after(seconds: GuestConsole.patience)
        guard poll(&waiting, 1, deadline.millisecondsLeft) > 0 else {
            throw UrsaError(.timeout, "\(monitor): the bare guest says nothing more")
        }
        var buffer = [UInt8](repeating: 0, count: 512)
        let count = Glibc.read(fd.raw, &buffer, buffer.count)
        guard count > 0 else { throw UrsaError(.io, "\(monitor): the monitor of the bare guest ended") }
        heard += buffer[..<count]
    }
}
