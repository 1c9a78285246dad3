import CLinux
import Glibc
import Testing
import UrsaBase
import UrsaQMP

@testable import UrsaVMM

/// Whole machines with a bare kernel, on whatever /dev/kvm there is.
@Suite(.serialized, .enabled(if: hasKVM, "needs /dev/kvm")) struct MachineTests {
    /// A machine on a thread of its own, its console and monitor on sockets.
    final class Bench {
        let scratch: Scratch
        let machine: Machine
        let console: OwnedFD
        private let thread: OSThread
        private let result = Locked<Result<Machine.Outcome, UrsaError>?>(nil)

        init(_ kernel: TinyKernel, cpus: Int = 1) throws {
            scratch = try Scratch()
            let listener = try UnixSocket.listen(scratch.file("console"))
            console = try UnixSocket.connect(scratch.file("console"))
            let monitor = try UnixSocket.listen(scratch.file("qmp"))
            let file = try memoryFile(kernel.elf)
            let kvm = try File.open("/dev/kvm", O_RDWR)
            let configuration: JSON = [
                "cpus": .integer(Int64(cpus)), "memory": .integer(32 << 20), "kvm": .integer(Int64(kvm.release())),
                "boot": ["kernel": .integer(Int64(file.release())), "arguments": "quiet"],
                "console": .integer(Int64(listener.release())),
                "monitors": .array([.integer(Int64(monitor.release()))]),
            ]
            let machine = try Machine(MachineConfiguration(configuration), isCounting: true)
            self.machine = machine
            let result = result
            thread = try OSThread {
                let outcome: Result<Machine.Outcome, UrsaError>
                do throws(UrsaError) { outcome = .success(try machine.run()) } catch { outcome = .failure(error) }
                result.withLock { $0 = outcome }
            }
        }

        func outcome() throws -> Machine.Outcome {
            thread.join()
            return try #require(result.withLock { $0 }).get()
        }

        /// What comes out of the serial port until it ends or `text` was there.
        func read(until text: String? = nil) -> String {
            var all: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                var waiting = pollfd(fd: console.raw, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, 20_000) == 1 else { break }
                let count = Glibc.read(console.raw, &buffer, buffer.count)
                if count <= 0 { break }
                all += buffer[0..<count]
                if let text, String(decoding: all, as: UTF8.self).contains(text) { break }
            }
            return String(decoding: all, as: UTF8.self)
        }
    }

    @Test func `a kernel prints and switches the machine off`() throws {
        var kernel = TinyKernel()
        kernel.print("hello from ring 0\n")
        kernel.powerOff()
        let bench = try Bench(kernel)
        #expect(bench.read() == "hello from ring 0\n")
        #expect(try bench.outcome() == .poweredOff(.guestShutdown))
        #expect(bench.machine.exitReport.contains { $0.contains("port 0x3f8: 18") })
    }

    @Test(arguments: [(UInt16(0x602), UInt8(1)), (UInt16(0x64), UInt8(0xfe))])
    func `a reset starts the machine anew in place, with memory as at first`(_ port: UInt16, _ value: UInt8) throws {
        var kernel = TinyKernel()
        // What an earlier start left in memory would be printed: mov al, [0x1800000]; add al, '0'; out; mov [0x1800000], 5
        kernel.code += [0x8a, 0x04, 0x25, 0x00, 0x00, 0x80, 0x01, 0x04, 0x30, 0x66, 0xba, 0xf8, 0x03, 0xee]
        kernel.code += [0xc6, 0x04, 0x25, 0x00, 0x00, 0x80, 0x01, 0x05]
        kernel.unlessStarted(3) { kernel in
            kernel.out(port, value)
            kernel.rest()
        }
        kernel.powerOff()
        let bench = try Bench(kernel, cpus: 2)
        let client = try QMPClient(bench.scratch.file("qmp"))
        #expect(bench.read() == "0000")
        #expect(try bench.outcome() == .poweredOff(.guestShutdown))
        var names: [String] = []
        while let event = try? client.nextEvent(seconds: 2) { names.append(event.name) }
        #expect(names.last == "SHUTDOWN" && names.contains("RESET"))
    }

    @Test func `a triple fault is a reset`() throws {
        var kernel = TinyKernel()
        kernel.print("x")
        kernel.unlessStarted(1) { kernel in kernel.code += [0x0f, 0x0b] }  // ud2, without any handler
        kernel.powerOff()
        let bench = try Bench(kernel)
        let text = bench.read()
        let outcome = try bench.outcome()
        if File.exists("/sys/module/kvm_pvm"), case .failed(let why) = outcome {
            // This KVM emulates ring 0 and has no such fault.
            #expect(why.contains("KVM"))
            return
        }
        #expect(text == "xx" && outcome == .poweredOff(.guestShutdown))
    }

    @Test func `the monitor stops, resumes, resets and ends a busy machine`() throws {
        var kernel = TinyKernel()
        kernel.print("go\n")
        // inc qword [0x1800000]; jmp to it
        kernel.code += [0x48, 0xff, 0x04, 0x25, 0x00, 0x00, 0x80, 0x01, 0xeb, 0xf6]
        let bench = try Bench(kernel, cpus: 2)
        #expect(bench.read(until: "go\n") == "go\n")
        let client = try QMPClient(bench.scratch.file("qmp"))
        func counter() -> UInt64 { bench.machine.ram.load(0x180_0000, as: UInt64.self) ?? 0 }
        try client.execute("stop")
        #expect(try client.execute("query-status")["status"]?.string == "paused")
        let before = counter()
        pause(milliseconds: 100)
        #expect(counter() == before && before > 0)
        try client.execute("cont")
        let deadline = Deadline.after(seconds: 10)
        while counter() == before, !deadline.isPast { pause(milliseconds: 5) }
        #expect(counter() != before)
        #expect(try client.execute("query-cpus-fast").array?.count == 2)
        try client.execute("system_reset")
        #expect(bench.read(until: "go\n") == "go\n")
        try client.execute("stop")
        try client.execute("system_reset")
        #expect(try client.execute("query-status")["status"]?.string == "paused", "a stopped machine stays stopped")
        try client.execute("system_powerdown")
        try client.execute("quit")
        #expect(try bench.outcome() == .poweredOff(.hostQuit))
        var names: [String] = []
        while let event = try? client.nextEvent(seconds: 2) { names.append(event.name) }
        // A second RESET within a second waits for its time.
        #expect(names.filter { $0 != "RESET" } == ["STOP", "RESUME", "STOP", "POWERDOWN", "SHUTDOWN"])
        #expect(names.filter { $0 == "RESET" }.count == 2)
    }

    @Test func `starts and ends leave no descriptor, no thread and no memory`() throws {
        var kernel = TinyKernel()
        kernel.powerOff()
        func descriptors() -> Int { File.list("/proc/self/fd").count }
        func mappings() -> Int { (File.peek("/proc/self/maps") ?? "").split(separator: "\n").count }
        weak var last: Machine?
        func round() throws {
            let bench = try Bench(kernel)
            last = bench.machine
            _ = try bench.outcome()
        }
        for _ in 0..<3 { try round() }
        let (fds, maps) = (descriptors(), mappings())
        for _ in 0..<30 { try round() }
        #expect(last == nil)
        // Other suites run beside this one.
        #expect(descriptors() <= fds + 8)
        #expect(mappings() <= maps + 40)
    }
}
