import CLinux
import Glibc
import Testing
import UrsaBase
import UrsaDisk
import UrsaQMP

@testable import UrsaVMM

/// What machines leave behind in their process, counted in processes of the tests' own so that nothing else runs there.
@Suite(.serialized, .enabled(if: hasKVM, "needs /dev/kvm")) struct LeftoverTests {
    @Test func `machines with every device, started and ended a thousand times, leave nothing`() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            var kernel = TinyKernel()
            kernel.powerOff()
            let elf = kernel.elf
            try Leftovers.compare(rounds: Leftovers.many) { try Leftovers.startAndEnd(elf) }
        }
        Leftovers.tell(result)
    }

    @Test func `a machine that is reset a thousand times keeps what it had and no more`() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            var kernel = TinyKernel()
            kernel.print("x")
            kernel.rest()
            let bench = try MachineTests.Bench(kernel, cpus: 2)
            let client = try QMPClient(bench.scratch.file("qmp"))
            try Leftovers.compare(rounds: Leftovers.many) {
                try client.execute("system_reset")
                guard bench.read(until: "x").contains("x") else { throw UrsaError(.io, "the kernel did not start") }
                // Events come once a second; they are not the question here.
                while (try? client.nextEvent(seconds: 0)) != nil {}
            }
            try client.execute("quit")
            _ = try bench.outcome()
        }
        Leftovers.tell(result)
    }

    @Test func `devices that are started and reset a thousand times leave nothing`() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            let scratch = try Scratch()
            for make in [Leftovers.disk, Leftovers.card, Leftovers.vsock, Leftovers.console, Leftovers.entropy] {
                let driven = try DrivenDevice(try make(scratch))
                try Leftovers.compare(rounds: Leftovers.many) {
                    driven.start()
                    driven.put(0x70, 0)
                }
            }
        }
        Leftovers.tell(result)
    }
}

/// Counts what a process has.
enum Leftovers {
    /// A thousand where long tests are wanted.
    static var many: Int { getenv("URSA_SLOW") != nil || getenv("URSA_CAMPAIGN") != nil ? 1000 : 150 }

    /// Shows what the test's own process counted.
    static func tell(_ result: ExitTest.Result?) {
        print(String(decoding: result?.standardErrorContent ?? [], as: UTF8.self).trimmed)
    }

    struct Count {
        let descriptors = File.list("/proc/self/fd").count
        let threads = File.list("/proc/self/task").count
        let mappings = (File.peek("/proc/self/maps") ?? "").split(separator: "\n").count
        /// Pages.
        let resident = Int((File.peek("/proc/self/statm") ?? "").split(separator: " ").dropFirst().first ?? "") ?? 0
    }

    /// Runs `round` so often, and compares what is there at the end with what was there after a tenth, when everything that
    /// is made once is made.
    static func compare(rounds: Int, _ round: () throws -> Void) throws {
        var before = Count()
        for number in 0..<rounds {
            try round()
            if number == rounds / 10 { before = Count() }
        }
        // A thread's last steps come after its join; those of the test library come and go.
        var after = Count()
        let deadline = Deadline.after(seconds: 5)
        while after.threads > before.threads, !deadline.isPast {
            pause(milliseconds: 10)
            after = Count()
        }
        let words = """
            \(rounds) rounds: descriptors \(before.descriptors) to \(after.descriptors), threads \(before.threads) to \
            \(after.threads), mappings \(before.mappings) to \(after.mappings), pages \(before.resident) to \(after.resident)
            """
        try? writeAllBytes(2, Array((words + "\n").utf8), "a message")
        // The allocator's arenas may take a few mappings more; a page a round would be seen.
        guard after.descriptors <= before.descriptors + 4, after.threads <= before.threads + 4,
            after.mappings <= before.mappings + 16, after.resident <= before.resident + max(64, rounds / 4)
        else { throw UrsaError(.bug, words) }
    }

    static func startAndEnd(_ elf: [UInt8]) throws {
        let scratch = try Scratch()
        let kernel = try memoryFile(elf)
        let disk = try memoryFile([UInt8](repeating: 7, count: 1 << 20))
        var frames: [Int32] = [-1, -1]
        try check(clinux_frame_pair(&frames), "make a pair")
        let peer = OwnedFD(frames[1])
        func listener(_ name: String) throws -> JSON {
            .integer(Int64(try UnixSocket.listen(scratch.file(name)).release()))
        }
        var configuration = try MachineConfiguration([
            "cpus": 2, "memory": .integer(32 << 20),
            "kvm": .integer(Int64(try File.open("/dev/kvm", O_RDWR).release())),
            "boot": ["kernel": .integer(Int64(kernel.release()))], "console": listener("console"),
            "disks": [["layers": [["fd": .integer(Int64(disk.release())), "format": "raw"]]]],
            "nics": [["frames": .integer(Int64(frames[0])), "mac": "52:54:00:00:00:01"]],
            "monitors": [listener("qmp")], "virtioConsole": listener("hvc"), "balloon": true,
            "vsock": ["cid": 3, "listen": listener("vsock")],
        ])
        let broker = try VsockBroker.messagePair()
        let its = OwnedFD(broker.broker)
        configuration.vsock?.broker = broker.monitor
        let outcome = try Machine(configuration).run()
        guard outcome == .poweredOff(.guestShutdown) else { throw UrsaError(.bug, "\(outcome)") }
        _ = consume its
        _ = consume peer
    }

    static func disk(_ scratch: Scratch) throws -> VirtioDevice {
        let file = try memoryFile([UInt8](repeating: 7, count: 1 << 20))
        let image = try DiskLayers.openTop(
            DiskLayers.Layer(file, format: .raw, name: "disk"), over: nil, readOnly: false)
        return try BlockDevice(image, readOnly: false, serial: "", queues: 2) { _ in }
    }

    static func card(_ scratch: Scratch) throws -> VirtioDevice {
        var frames: [Int32] = [-1, -1]
        try check(clinux_frame_pair(&frames), "make a pair")
        // The other side stays open as long as the process.
        return try NetworkDevice([.frames(OwnedFD(frames[0]))], mac: MACAddress(0x5254_0000_0001))
    }

    static func vsock(_ scratch: Scratch) throws -> VirtioDevice {
        let pair = try VsockBroker.messagePair()
        let its = SharedFD(OwnedFD(pair.broker))
        let folder = SharedFD(try File.open(scratch.path, O_RDONLY))
        _ = try OSThread { VsockBroker.serve(its.raw, folder: folder.raw) }
        return try VsockDevice(
            cid: 3, listener: SharedFD(try UnixSocket.listen(scratch.file("vsock"))),
            broker: SharedFD(OwnedFD(pair.monitor)))
    }

    static func console(_ scratch: Scratch) throws -> VirtioDevice {
        try ConsoleDevice(listener: try UnixSocket.listen(scratch.file("hvc")))
    }

    static func entropy(_ scratch: Scratch) throws -> VirtioDevice { EntropyDevice() }
}
