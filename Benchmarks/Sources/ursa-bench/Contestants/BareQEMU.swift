import Glibc
import UrsaBase

/// QEMU by hand: the same binary, machine type, kernel, initial RAM disk, memory and card as the machine Ursa runs,
/// its card on QEMU's own user network. What is left between the two is what Ursa adds.
struct BareQEMU {
    let program: String
    let arguments: [String]
    let kernel: String
    let initrd: String
    let commandLine: String

    let card: String

    /// What the tiny image's init prints on the serial console when every card has an address and its page answers.
    static let readyMarker = "ursa: ready"

    /// Copies what matters from a running engine of Ursa's.
    init(like engine: RunningProcess) throws(UrsaError) {
        let theirs = engine.arguments
        guard let program = theirs.first else {
            throw UrsaError(.notFound, "the engine (process \(engine.pid)) ended before it could be read")
        }
        func value(_ names: String...) -> String? {
            theirs.firstIndex { names.contains($0) }.flatMap { $0 + 1 < theirs.count ? theirs[$0 + 1] : nil }
        }
        guard let kernel = value("-kernel"), let initrd = value("-initrd") else {
            throw UrsaError(.unsupported, "the engine of a tiny machine was not started with -kernel and -initrd")
        }
        self.program = program
        self.kernel = try Self.resolve(kernel, of: engine)
        self.initrd = try Self.resolve(initrd, of: engine)
        self.commandLine = value("-append") ?? "console=ttyS0"
        var arguments = ["-machine", value("-machine", "-M") ?? "pc"]
        for (name, value) in [
            ("-accel", value("-accel")), ("-cpu", value("-cpu")), ("-smp", value("-smp")), ("-m", value("-m")),
        ] {
            if let value { arguments += [name, value] }
        }
        self.arguments = arguments
        self.card = Self.cardModel(in: theirs)
    }

    /// The driver of its network card; the machine type decides which bus it is on. No boot ROM: nothing boots by it.
    private static func cardModel(in arguments: [String]) -> String {
        for argument in arguments where argument.contains("virtio-net-device") { return "virtio-net-device" }
        return "virtio-net-pci,romfile="
    }

    /// A path of another process, which may be one of its open descriptors.
    private static func resolve(_ path: String, of engine: RunningProcess) throws(UrsaError) -> String {
        for prefix in ["/proc/self/fd/", "/dev/fd/"] where path.hasPrefix(prefix) {
            var buffer = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/\(engine.pid)/fd/\(path.dropFirst(prefix.count))", &buffer, buffer.count - 1)
            guard count > 0 else { throw UrsaError.system(.current, "resolve \(path) of process \(engine.pid)") }
            return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        return path
    }

    /// Boots `count` machines at the same time; milliseconds from the first exec until the last is ready.
    func boot(_ count: Int) throws(UrsaError) -> Double {
        let start = Deadline.now
        var guests: [BareGuest] = []
        defer { for guest in guests { guest.end() } }
        for _ in 0..<count { guests.append(try BareGuest(self)) }
        for guest in guests { try guest.waitFor(Self.readyMarker, until: .after(seconds: 90)) }
        return Deadline.now.seconds(since: start) * 1000
    }
}

/// One QEMU started by hand, its serial port on a pipe.
private final class BareGuest {
    private let serial: OwnedFD
    private let pid: Int32
    private var heard: [UInt8] = []

    init(_ machine: BareQEMU) throws(UrsaError) {
        var program = Program(
            machine.program,
            machine.arguments + [
                "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot", "-kernel", machine.kernel,
                "-initrd", machine.initrd, "-append", machine.commandLine,
                "-netdev", "user,id=net0", "-device", "\(machine.card),netdev=net0",
            ])
        let output = try makePipe()
        program.descriptors[1] = output.write.raw
        program.diesWithParent = true
        pid = try program.start().pid
        serial = try output.read.duplicate()
    }

    func waitFor(_ marker: String, until deadline: Deadline) throws(UrsaError) {
        let wanted = Array(marker.utf8)
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !contains(wanted) {
            var waiting = pollfd(fd: serial.raw, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, deadline.millisecondsLeft) > 0 else {
                throw UrsaError(
                    .timeout, "bare QEMU never printed \(marker)",
                    place: String(decoding: heard.suffix(400), as: UTF8.self))
            }
            let count = read(serial.raw, &buffer, buffer.count)
            guard count > 0 else {
                throw UrsaError(
                    .io, "bare QEMU ended before it printed \(marker)",
                    place: String(decoding: heard.suffix(400), as: UTF8.self))
            }
            heard.append(contentsOf: buffer[0..<count])
        }
    }

    /// Looks at the newest part only: the marker can straddle two reads, but is short.
    private func contains(_ wanted: [UInt8]) -> Bool {
        guard heard.count >= wanted.count else { return false }
        let from = max(0, heard.count - 4096 - wanted.count)
        return heard[from...].indices.dropLast(wanted.count - 1).contains { index in
            heard[index..<(index + wanted.count)].elementsEqual(wanted)
        }
    }

    func end() {
        kill(pid, SIGKILL)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }
}
