import CLinux
import Glibc
import TestSupport
import Testing
import UrsaBase

@testable import UrsaVMM

/// The guest of Tests/Guests, which drives devices without an operating system, on whatever /dev/kvm there is.
@Suite(
    .serialized, .enabled(if: hasKVM, "needs /dev/kvm"),
    .enabled(if: has("clang") && has("ld.lld"), "needs the clang and ld.lld that come with Swift")
)
struct GuestTests {
    /// A machine with the guest as its kernel, on a thread of its own.
    private final class Bench {
        private let machine: Machine
        private let console: OwnedFD
        private let thread: OSThread
        private let result = Locked<Result<Machine.Outcome, UrsaError>?>(nil)
        private let scratch: Scratch

        /// - Parameter parts: more of the machine's configuration.
        init(_ jobs: String, profile: String, _ parts: [JSON.Member]) throws {
            scratch = try Scratch()
            let sources = Path.parent(Path.parent(Path.parent(#filePath))) + "/Guests"
            try Program(sources + "/build", [scratch.file("guest")]).require("build the guest", seconds: 60)
            let listener = try UnixSocket.listen(scratch.file("console"))
            console = try UnixSocket.connect(scratch.file("console"))
            let kernel = try File.open(scratch.file("guest"), O_RDONLY)
            let kvm = try File.open("/dev/kvm", O_RDWR)
            let ground = [
                JSON.Member("memory", .integer(32 << 20)), JSON.Member("kvm", .integer(Int64(kvm.release()))),
                JSON.Member("profile", .string(profile)),
                JSON.Member("boot", ["kernel": .integer(Int64(kernel.release())), "arguments": .string(jobs)]),
                JSON.Member("console", .integer(Int64(listener.release()))), JSON.Member("entropy", false),
            ]
            let machine = try Machine(MachineConfiguration(.object(ground + parts)))
            self.machine = machine
            let result = result
            thread = try OSThread {
                let outcome: Result<Machine.Outcome, UrsaError>
                do throws(UrsaError) { outcome = .success(try machine.run()) } catch { outcome = .failure(error) }
                result.withLock { $0 = outcome }
            }
        }

        /// What the guest says, until it has said a line that begins so; all of it when that never comes.
        func read(until start: String = "bye") -> [String] {
            var text = ""
            var buffer = [UInt8](repeating: 0, count: 4096)
            func lines() -> [String] { text.split(separator: "\n").map { String($0) } }
            while true {
                if text.hasSuffix("\n"), lines().contains(where: { $0.hasPrefix(start) }) { return lines() }
                var waiting = pollfd(fd: console.raw, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, 60_000) == 1 else { return lines() }
                let count = Glibc.read(console.raw, &buffer, buffer.count)
                guard count > 0 else { return lines() }
                text += String(decoding: buffer[0..<count], as: UTF8.self)
            }
        }

        func outcome() throws -> Machine.Outcome {
            thread.join()
            return try #require(result.withLock { $0 }).get()
        }
    }

    /// Blocks of 4 KiB, as many as the guest's disk has.
    private static let blocks = 512

    /// A disk of zeros.
    private static func disk(_ format: String, in folder: Scratch) throws -> JSON {
        let path = folder.file("disk")
        let kind = ["create", "-q", "-f", format, path, "\(blocks * 4096)"]
        try Program("qemu-img", kind).require("make a disk")
        let fd = try File.open(path, O_RDWR)
        return ["layers": .array([["fd": .integer(Int64(fd.release())), "format": .string(format)]])]
    }

    @Test(
        .enabled(if: has("qemu-img"), "needs qemu-img"), arguments: [("raw", "mmio"), ("raw", "pci"), ("qcow2", "pci")])
    func `what a guest writes to a disk it reads back, and the host finds it there`(
        _ format: String, _ profile: String
    ) throws {
        let folder = try Scratch()
        let disk = try GuestTests.disk(format, in: folder)
        let bench = try Bench(
            "fill:16 read:2000:1 write:1000:32 read:2000:32", profile: profile, [JSON.Member("disks", .array([disk]))])
        let lines = bench.read()
        #expect(lines.filter { $0.hasPrefix("end") } == ["end 512 0", "end 2000 0", "end 1000 0", "end 2000 0"])
        #expect(try bench.outcome() == .poweredOff(.guestShutdown))
        let raw = folder.file("raw")
        try Program("qemu-img", ["convert", "-f", format, "-O", "raw", folder.file("disk"), raw]).require("convert")
        let bytes = try File.read(raw)
        try #require(bytes.count == GuestTests.blocks * 4096)
        var again = 0
        for block in 0..<GuestTests.blocks {
            func word(_ index: Int) -> Int {
                (0..<8).reduce(0) { $0 | Int(bytes[block * 4096 + index * 8 + $1]) << (8 * $1) }
            }
            #expect(word(0) == block && word(511) == block)
            if word(1) != block + 1 { again += 1 }
        }
        // 1000 random writes of 512 blocks leave 72 untouched, more or less.
        #expect((380...490).contains(again), "\(again) blocks were written twice")
    }

    @Test(.enabled(if: has("qemu-img"), "needs qemu-img"), arguments: ["mmio", "pci"])
    func `an interrupt comes with each answer that the driver wants it for, and none where it does not`(
        _ profile: String
    ) throws {
        let folder = try Scratch()
        let disk = try GuestTests.disk("raw", in: folder)
        // The first window's interrupt is pin 16 of the IOAPIC.
        let bench = try Bench("interrupts:16:100", profile: profile, [JSON.Member("disks", .array([disk]))])
        #expect(bench.read().contains("end 100 0"))
        #expect(try bench.outcome() == .poweredOff(.guestShutdown))
    }

    @Test(arguments: ["mmio", "pci"])
    func `frames go out of a guest in order and come back whole`(_ profile: String) throws {
        var fds: [Int32] = [-1, -1]
        try check(clinux_frame_pair(&fds), "make sockets")
        let host = OwnedFD(fds[0])
        let bench = try Bench(
            "send:2000:60:32 send:500:1514:128 echo:300", profile: profile,
            [JSON.Member("nics", .array([["frames": .integer(Int64(fds[1])), "mac": "52:54:00:00:00:01"]]))])
        for (count, length) in [(2000, 60), (500, 1514)] {
            for number in 0..<count {
                let got = GuestTests.receive(host)
                let frame = try #require(got, "frame \(number) of \(length) bytes")
                try #require(frame.count == length)
                #expect((0..<8).reduce(0) { $0 | Int(frame[14 + $1]) << (8 * $1) } == number)
            }
        }
        #expect(bench.read(until: "ready").last == "ready")
        var random = Seeded(7)
        for _ in 0..<300 {
            let addresses = [UInt8](repeating: 0x0a, count: 6) + [UInt8](repeating: 0x0b, count: 6)
            let rest = (0..<(48 + random.below(1450))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            var frame = addresses + rest
            #expect(Glibc.send(host.raw, &frame, frame.count, Int32(MSG_NOSIGNAL)) == frame.count)
            let back = GuestTests.receive(host)
            #expect(back == Array(addresses[6...]) + Array(addresses[..<6]) + rest)
        }
        #expect(bench.read().suffix(2) == ["end 300 0", "bye"])
        #expect(try bench.outcome() == .poweredOff(.guestShutdown))
    }

    private static func receive(_ socket: borrowing OwnedFD) -> [UInt8]? {
        var waiting = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, 20_000) == 1 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 2048)
        let count = recv(socket.raw, &buffer, buffer.count, 0)
        return count > 0 ? Array(buffer[..<count]) : nil
    }
}
