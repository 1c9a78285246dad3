import Glibc
import Testing
import UrsaBase

@testable import UrsaVMM

/// The console on a real socket.
@Suite struct ConsoleTests {
    private func console() throws -> (driven: DrivenDevice, path: Scratch) {
        let folder = try Scratch()
        let device = try ConsoleDevice(listener: try UnixSocket.listen(folder.file("console")))
        let driven = try DrivenDevice(device)
        driven.start()
        return (driven, folder)
    }

    private func say(_ text: String, _ driven: DrivenDevice) {
        _ = driven.ram.write(Array(text.utf8), at: driven.buffers)
        driven.queues[1]?.add([.read(driven.buffers, UInt32(text.utf8.count))])
        driven.kick(1)
    }

    private func hear(_ fd: Int32, _ count: Int) -> String {
        var bytes: [UInt8] = []
        var waiting = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        while bytes.count < count, poll(&waiting, 1, 5000) == 1 {
            var buffer = [UInt8](repeating: 0, count: count - bytes.count)
            let got = read(fd, &buffer, buffer.count)
            guard got > 0 else { break }
            bytes += buffer.prefix(got)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func `what is said before anybody listens is heard, and answers come in`() throws {
        let (driven, folder) = try console()
        say("early ", driven)
        #expect(driven.queues[1]?.waitUsed() != nil)
        let client = try UnixSocket.connect(folder.file("console"))
        say("late", driven)
        let heard = hear(client.raw, 10)
        #expect(heard == "early late")
        driven.queues[0]?.add([.write(driven.buffers + 4096, 64)])
        driven.kick(0)
        try writeAllBytes(client.raw, Array("answer".utf8), "the console")
        #expect(driven.queues[0]?.waitUsed()?.written == 6)
        #expect(driven.ram.read(6, at: driven.buffers + 4096) == Array("answer".utf8))
    }

    @Test func `input waits for a buffer, and clients come one after another`() throws {
        let (driven, folder) = try console()
        for round in 0..<3 {
            let client = try UnixSocket.connect(folder.file("console"))
            try writeAllBytes(client.raw, Array("hello\(round)".utf8), "the console")
            pause(milliseconds: 10)
            driven.queues[0]?.add([.write(driven.buffers + 4096, 64)])
            driven.kick(0)
            let written = driven.queues[0]?.waitUsed()?.written
            #expect(written == 6)
            let last = driven.ram.read(6, at: driven.buffers + 4096)
            #expect(last == Array("hello\(round)".utf8))
        }
    }

    @Test func `a guest that talks to nobody is never held up, and doesn't make the monitor grow`() throws {
        let (driven, folder) = try console()
        for round in 0..<400 {
            say(String(repeating: "x", count: 1000) + "\(round)", driven)
            #expect(driven.queues[1]?.waitUsed() != nil)
        }
        let client = try UnixSocket.connect(folder.file("console"))
        say("end", driven)
        // What was kept, and what came after it.
        let heard = hear(client.raw, (64 << 10) + 3)
        #expect(heard.utf8.count <= (64 << 10) + 3 && heard.hasSuffix("399end"))
    }
}

/// The balloon over real memory.
@Suite struct BalloonTests {
    private func resident(_ ram: GuestRAM, _ address: UInt64, pages: Int) -> Int {
        var map = [UInt8](repeating: 0, count: pages)
        guard let place = ram.pointer(address, UInt64(pages * 4096)) else { return -1 }
        return mincore(place, pages * 4096, &map) == 0 ? map.count { $0 & 1 == 1 } : -1
    }

    private func filled() throws -> DrivenDevice {
        let ram = try GuestRAM(bytes: 16 << 20)
        let driven = try DrivenDevice(BalloonDevice(ram), ram: ram)
        driven.start()
        if let place = ram.pointer(0x80_0000, 64 * 4096) { memset(place, 0x55, 64 * 4096) }
        return driven
    }

    @Test func `pages that are put into the balloon are the host's again, and read as zeros`() throws {
        let driven = try filled()
        // Up, down, and one alone.
        let pages: [UInt32] = Array(0x800..<0x810) + (0x820..<0x830).reversed() + [0x83f]
        for (index, page) in pages.enumerated() { _ = driven.ram.store(page, driven.buffers + UInt64(4 * index)) }
        driven.queues[0]?.add([.read(driven.buffers, UInt32(4 * pages.count))])
        driven.kick(0)
        #expect(driven.queues[0]?.waitUsed() != nil)
        for page in 0x800..<0x840 as Range<UInt64> {
            let expected: UInt8 = pages.contains(UInt32(page)) ? 0 : 0x55
            #expect(driven.ram.load(page * 4096 + 7, as: UInt8.self) == expected, "page \(page)")
        }
        #expect(!driven.needsReset)
    }

    @Test func `pages outside of memory are passed over`() throws {
        let driven = try filled()
        for (index, page) in ([0xffff_ffff, 0x1000, 0xfff, 0x800] as [UInt32]).enumerated() {
            _ = driven.ram.store(page, driven.buffers + UInt64(4 * index))
        }
        driven.queues[0]?.add([.read(driven.buffers, 16)])
        driven.kick(0)
        #expect(driven.queues[0]?.waitUsed() != nil)
        #expect(driven.ram.load(0x80_0000, as: UInt8.self) == 0 && driven.ram.load(0x80_1000, as: UInt8.self) == 0x55)
    }

    @Test(arguments: [2, 4]) func `pages that are reported free are the host's again`(queue: Int) throws {
        let driven = try filled()
        driven.queues[queue]?.add([.write(0x80_0000, 32 * 4096), .write(0x83_0800, 4096)])
        driven.kick(queue)
        #expect(driven.queues[queue]?.waitUsed() != nil)
        #expect(resident(driven.ram, 0x80_0000, pages: 32) == 0)
        // No whole page of the second piece: nothing of its neighbours is lost.
        #expect(resident(driven.ram, 0x82_0000, pages: 32) == 32)
    }

    @Test func `the target is in the configuration, and the driver's answer is heard`() throws {
        let driven = try filled()
        let balloon = try #require(driven.device as? BalloonDevice)
        _ = driven.takeInterrupt()
        balloon.setTarget(12 << 20)
        #expect(driven.takeInterrupt())
        #expect(driven.word(0x100) == 1024)
        driven.put(0x104, 512)
        #expect(balloon.actual == 14 << 20)
        driven.put(0x104, .max)
        #expect(balloon.actual == 0)
        balloon.setTarget(.max)
        #expect(driven.word(0x100) == 0)
    }

    @Test func `what changes in the balloon is told, and a driver that goes leaves it empty`() throws {
        let ram = try GuestRAM(bytes: 16 << 20)
        let told = Locked<[UInt64]>([])
        let driven = try DrivenDevice(
            BalloonDevice(ram) { actual in told.withLock { $0.append(actual) } }, ram: ram)
        driven.start()
        for pages in [512, 512, 0, 1024] as [UInt32] { driven.put(0x104, pages) }
        #expect(told.withLock { $0 } == [14 << 20, 16 << 20, 12 << 20])
        driven.put(0x70, 0)
        #expect(told.withLock { $0.last } == 16 << 20 && driven.word(0x104) == 0)
    }
}
