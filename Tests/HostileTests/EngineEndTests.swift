import CLinux
import Glibc
import TestSupport
import Testing
import UrsaBase
import UrsaKeeper

/// The native engine's process and those beside it: what becomes of the others when one dies. Guests are a few
/// instructions, so any /dev/kvm will do.
@Suite(
    .serialized, .timeLimit(.minutes(120)),
    .enabled(if: access("/dev/kvm", R_OK | W_OK) == 0, "needs /dev/kvm"),
    .enabled(if: Products.monitor != nil && Products.keeper != nil, "ursa-vmm and ursa-keeper are not built"))
struct EngineEndTests {
    /// A 64-bit ELF "kernel" at 16 MiB.
    private static func kernel(_ code: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
        func add<T: FixedWidthInteger>(_ values: T...) {
            for value in values { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        }
        add(UInt16(2), UInt16(62))
        add(UInt32(1))
        add(UInt64(0x100_0000), UInt64(64), UInt64(0))
        add(UInt32(0))
        add(UInt16(64), UInt16(56), UInt16(1), UInt16(0), UInt16(0), UInt16(0))
        add(UInt32(1), UInt32(7))
        add(
            UInt64(0x1000), UInt64(0x100_0000), UInt64(0x100_0000), UInt64(code.count), UInt64(code.count),
            UInt64(0x1000))
        return bytes + [UInt8](repeating: 0, count: 0x1000 - bytes.count) + code
    }

    /// hlt; jmp to it.
    private static let rest = kernel([0xf4, 0xeb, 0xfd])

    private final class Place {
        let path: String
        init() throws {
            var template = Array("/tmp/ursa-engine-XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else { throw UrsaError.system(.current, "make a folder") }
            path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        deinit {
            if let status = try? MachineStatus.read(folder: path) {
                for process in [status.keeper, status.engine].compactMap({ $0 }) {
                    process.signal(SIGKILL)
                    _ = process.waitForEnd(until: .after(seconds: 5))
                }
            }
            try? File.removeTree(path)
        }
    }

    private func eventually(seconds: Double = 20, _ holds: () throws -> Bool) rethrows -> Bool {
        let deadline = Deadline.after(seconds: seconds)
        while true {
            if try holds() { return true }
            if deadline.isPast { return false }
            pause(milliseconds: 10)
        }
    }

    private static func field(_ pid: Int32, _ name: String) -> String? {
        let lines = (File.peek("/proc/\(pid)/status") ?? "").split(separator: "\n")
        return lines.first { $0.hasPrefix(name + ":") }.map { String($0.dropFirst(name.utf8.count + 1)).trimmed }
    }

    // MARK: The broker of vsock

    /// An engine with vsock; it runs until it is killed.
    private func engine(_ place: Place) throws -> (engine: Int32, broker: Int32, pidfd: SharedFD) {
        try File.replace(place.path + "/kernel", EngineEndTests.rest)
        try File.makeDirectory(place.path + "/vsock")
        let kvm = try File.open("/dev/kvm", O_RDWR)
        let kernel = try File.open(place.path + "/kernel", O_RDONLY)
        let listener = try UnixSocket.listen(place.path + "/vsock.sock")
        let folder = try File.open(place.path + "/vsock", O_RDONLY)
        var program = Program(
            try #require(Products.monitor),
            [
                #"{"memory":33554432,"kvm":13,"boot":{"kernel":14},"vsock":{"cid":3,"listen":15,"folder":16}}"#
            ], environment: ["SECRET=of-the-engine"])
        program.descriptors = [13: kvm.raw, 14: kernel.raw, 15: listener.raw, 16: folder.raw]
        program.diesWithParent = true
        let child = try program.start()
        let pid = child.pid
        var broker: Int32?
        _ = eventually {
            broker = File.list("/proc").compactMap { Int32($0) }.first {
                EngineEndTests.field($0, "PPid") == "\(pid)" && EngineEndTests.field($0, "Seccomp") == "2"
            }
            return broker != nil && EngineEndTests.field(pid, "Seccomp") == "2"
        }
        return (pid, try #require(broker), SharedFD(try child.pidfd.duplicate()))
    }

    private func reap(_ pidfd: SharedFD) {
        _ = clinux_pidfd_send_signal(pidfd.raw, SIGKILL)
        var code: Int32 = 0
        var status: Int32 = 0
        _ = clinux_wait(pidfd.raw, 0, &code, &status)
    }

    @Test func `the broker of vsock has nothing but its folder and its socket, and can do nothing else`() throws {
        let place = try Place()
        let (_, broker, pidfd) = try engine(place)
        defer { reap(pidfd) }
        #expect(File.peek("/proc/\(broker)/comm") == "vsock broker")
        #expect(EngineEndTests.field(broker, "NoNewPrivs") == "1" && EngineEndTests.field(broker, "Threads") == "1")
        let open = File.list("/proc/\(broker)/fd").compactMap { Int32($0) }.sorted()
        #expect(open.count == 5 && open.prefix(3) == [0, 1, 2], "\(open)")
        let environment = try File.read("/proc/\(broker)/environ")
        #expect(environment.allSatisfy { $0 == 0 }, "a keeper finds engines by their environment")
        let resident = Int(EngineEndTests.field(broker, "RssAnon")?.split(separator: " ").first ?? "") ?? .max
        #expect(resident < 1024, "\(resident) KiB of its own")
    }

    @Test func `when the broker is killed the machine goes on, and nothing of it is left`() throws {
        let place = try Place()
        let (engine, broker, pidfd) = try engine(place)
        defer { reap(pidfd) }
        kill(broker, SIGKILL)
        #expect(eventually { !File.exists("/proc/\(broker)") })
        pause(milliseconds: 100)
        #expect(["S", "R"].contains(EngineEndTests.field(engine, "State")?.prefix(1)))
    }

    @Test(arguments: [false, true])
    func `when the engine is killed its broker ends, also one that is stopped`(_ isStopped: Bool) throws {
        let place = try Place()
        let (_, broker, pidfd) = try engine(place)
        if isStopped { kill(broker, SIGSTOP) }
        reap(pidfd)
        // Its new parent may take a moment to reap it.
        #expect(eventually { ["Z", nil].contains(EngineEndTests.field(broker, "State")?.prefix(1)) })
    }

    // MARK: The keeper

    private func launch(
        _ place: Place, restart: KeeperLaunch.Restart
    ) throws -> KeeperLaunch {
        try File.replace(place.path + "/kernel", EngineEndTests.rest)
        try File.makeDirectory(place.path + "/vsock")
        return KeeperLaunch(
            machine: "id", name: "web", program: Path.absolute(try #require(Products.monitor)),
            arguments: [
                """
                {"memory":33554432,"kvm":13,"boot":{"kernel":14},"console":10,"monitors":[11,12],
                "vsock":{"cid":3,"listen":15,"folder":16}}
                """
            ],
            files: [
                .init(fd: 13, path: "/dev/kvm", isWritable: true),
                .init(fd: 14, path: place.path + "/kernel", isWritable: false),
                .init(fd: 16, path: place.path + "/vsock", isWritable: false),
            ],
            sockets: [
                .init(name: "console.sock", fd: 10, purpose: .console),
                .init(name: "engine.sock", fd: 11, purpose: .monitor),
                .init(name: "qmp.sock", fd: 12, purpose: .people),
                .init(name: "vsock.sock", fd: 15, purpose: .people),
            ], restart: restart, pace: .init(first: 0.01, longest: 0.01, steady: 0.001),
            eventsPath: place.path + "/events.jsonl")
    }

    private func status(_ place: Place) throws -> MachineStatus {
        try #require(try MachineStatus.read(folder: place.path))
    }

    /// SIGILL and SIGTRAP are what a trap of Swift raises, by architecture; the others are what memory faults do.
    @Test(arguments: [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGSYS])
    func `a trap of the monitor is told in words, and its keeper starts it again`(_ signal: Int32) throws {
        let place = try Place()
        let first = try Keeper.start(
            try launch(place, restart: .onFailure(limit: 3)), folder: place.path,
            keeperProgram: try #require(Products.keeper), seconds: 30)
        first.engine?.signal(signal)
        #expect(try eventually { try status(place).restarts == 1 && status(place).state == .running })
        let second = try status(place)
        #expect(second.keeper == first.keeper && second.isKept && second.engine != first.engine)
        let events = ((try? File.readText(place.path + "/events.jsonl")) ?? "")
        #expect(
            events.contains(signal == SIGSYS ? "its sandbox forbids" : "was killed by signal \(signal)"), "\(events)")
        _ = try KeeperClient(folder: place.path).kill()
    }

    @Test func `a keeper that starts its machine again and again keeps what it had and no more`() throws {
        let place = try Place()
        let first = try Keeper.start(
            try launch(place, restart: .always), folder: place.path,
            keeperProgram: try #require(Products.keeper), seconds: 30)
        let keeper = try #require(first.keeper?.pid)
        let rounds = getenv("URSA_SLOW") != nil || getenv("URSA_CAMPAIGN") != nil ? 300 : 40
        func descriptors() -> Int { File.list("/proc/\(keeper)/fd").count }
        func memory() -> Int { Int(EngineEndTests.field(keeper, "VmRSS")?.split(separator: " ").first ?? "") ?? -1 }
        func endEngine(_ round: Int) throws {
            try status(place).engine?.signal(round % 2 == 0 ? SIGKILL : SIGTERM)
            #expect(try eventually { try status(place).restarts == round && status(place).state == .running })
        }
        for round in 1...10 { try endEngine(round) }
        let before = (descriptors: descriptors(), memory: memory())
        for round in 11...rounds { try endEngine(round) }
        #expect(eventually { descriptors() <= before.descriptors }, "\(before) to \(descriptors())")
        #expect(memory() <= before.memory + 128, "KiB, of \(before)")
        #expect(EngineEndTests.field(keeper, "Threads") == "1")
        #expect(try status(place).keeper?.pid == keeper)
        _ = try? KeeperClient(folder: place.path).kill()
    }
}
