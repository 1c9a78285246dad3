import Glibc
import UrsaBase
import UrsaKeeper

/// The real QEMU, found once.
let qemu = Path.program("qemu-system-x86_64")

/// The keeper as built beside the tests.
let keeperProgram: String = {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes { space in
        space.baseAddress.map { readlink("/proc/self/exe", $0, space.count) } ?? -1
    }
    let own = count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : ""
    return Path.parent(own) + "/ursa-keeper"
}()

/// A machine of the test's own: a folder, a launch, and its certain end.
final class TestMachine {
    let folder: String
    var launch: KeeperLaunch

    init(_ name: String, extra: [String] = [], restart: KeeperLaunch.Restart = .never) throws {
        var template = Array("/tmp/ursa-test-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw UrsaError.system(.current, "make a folder") }
        folder = String(cString: made)
        let rom = folder + "/rom"
        try File.replace(rom, TestROM.image)
        launch = KeeperLaunch(
            machine: "id-\(name)", name: name, program: qemu ?? "/missing",
            arguments: [
                "-nodefaults", "-no-user-config", "-display", "none", "-M", "pc-q35-7.2", "-accel", "tcg", "-m", "16",
                "-bios", rom, "-device", "pvpanic",
                "-chardev", "socket,id=serial,fd=10,server=on,wait=on", "-serial", "chardev:serial",
                "-chardev", "socket,id=keeper,fd=11,server=on,wait=off", "-mon", "chardev=keeper,mode=control",
                "-chardev", "socket,id=people,fd=12,server=on,wait=off", "-mon", "chardev=people,mode=control",
            ] + extra,
            sockets: [
                .init(name: "console.sock", fd: 10, purpose: .console),
                .init(name: "engine.sock", fd: 11, purpose: .monitor),
                .init(name: "qmp.sock", fd: 12, purpose: .people),
            ], restart: restart, pace: .init(first: 0.05, longest: 0.2, steady: 60),
            eventsPath: folder + "/events.jsonl")
    }

    deinit {
        // Whatever the test left: the keeper first, then the engine, then the files.
        if let status = try? MachineStatus.read(folder: folder) {
            for process in [status.keeper, status.engine].compactMap({ $0 }) where status.boot == bootIdentifier() {
                process.signal(SIGKILL)
                _ = process.waitForEnd(until: .after(seconds: 5))
            }
        }
        try? File.removeTree(folder)
    }

    @discardableResult
    func start(seconds: Double = 30) throws(UrsaError) -> MachineStatus {
        try Keeper.start(launch, folder: folder, keeperProgram: keeperProgram, seconds: seconds)
    }

    func client() throws(UrsaError) -> KeeperClient { try KeeperClient(folder: folder) }

    /// The status of the file, judged.
    func status() throws -> MachineStatus {
        guard let status = try MachineStatus.read(folder: folder) else { throw UrsaError(.notFound, "no status") }
        return status
    }

    var consoleLog: String { (try? File.readText(folder + "/console.log")) ?? "" }
    var events: [JSON] {
        ((try? File.readText(folder + "/events.jsonl")) ?? "").split(separator: "\n").compactMap {
            try? JSON.parse(String($0))
        }
    }
    func events(_ name: String) -> [JSON] { events.filter { $0["event"]?.string == name } }
}

/// Waits until something holds; false when it did not within `seconds`.
func eventually(seconds: Double = 20, _ holds: () throws -> Bool) rethrows -> Bool {
    let deadline = Deadline.after(seconds: seconds)
    while true {
        if try holds() { return true }
        if deadline.isPast { return false }
        pause(milliseconds: 10)
    }
}

/// Reads from a console until `text` came or the time is over; returns all that came.
func readUntil(_ fd: borrowing OwnedFD, _ text: String, seconds: Double = 20) -> String {
    let deadline = Deadline.after(seconds: seconds)
    let wanted = Array(text.utf8)
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while !deadline.isPast {
        var waiting = pollfd(fd: fd.raw, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, min(100, deadline.millisecondsLeft)) > 0 else { continue }
        guard case .bytes(let count) = receiveSome(fd.raw, into: &buffer) else { break }
        bytes.append(contentsOf: buffer[..<count])
        // Only what is new can hold the text; the rest was searched before.
        let fresh = bytes.suffix(count + wanted.count)
        if fresh.indices.contains(where: { fresh[$0...].starts(with: wanted) }) { break }
    }
    return String(decoding: bytes, as: UTF8.self)
}
