import CLinux
import Glibc
import TestSupport
import Testing
import UrsaBase

@testable import UrsaVMM

/// Network cards on real sockets and on real taps in a network namespace of the test's own.
@Suite struct NetworkTests {
    private static let mac: [UInt8] = [0x52, 0x54, 0, 1, 2, 3]

    /// A card with its driver.
    final class Card {
        let device: NetworkDevice
        let driven: DrivenDevice
        let messages = Locked<[String]>([])

        init(
            _ backends: [NetworkBackend], features: (VirtioFeatures) -> VirtioFeatures = { $0 }
        ) throws {
            let messages = messages
            device = try NetworkDevice(
                backends, mac: try #require(MACAddress("52:54:00:01:02:03")), mtu: nil,
                log: { text in messages.withLock { $0.append(text) } })
            driven = try DrivenDevice(device)
            driven.start(features: features(device.offeredFeatures), size: 256)
            receive = try #require(driven.queues[0])
            transmit = try #require(driven.queues[1])
        }

        /// A reset, and the way to a running device again.
        func restart() {
            driven.start(size: 256)
            receive.forget()
            transmit.forget()
        }

        deinit { driven.transport.resetMachine() }

        let receive: DriverQueue
        let transmit: DriverQueue

        func giveBuffers(_ count: Int, of size: Int, from first: Int = 0) {
            for number in first..<first + count {
                receive.add([.write(driven.buffers + UInt64(number * 4096), UInt32(size))])
            }
            driven.kick(0)
        }

        /// The next frame that comes, put together from its buffers, with its header.
        func nextFrame(seconds: Double = 5) -> (header: [UInt8], frame: [UInt8], buffers: Int)? {
            var bytes: [UInt8] = []
            var count = 0
            var wanted = 1
            while count < wanted {
                guard let used = receive.waitUsed(seconds: seconds),
                    let address = driven.ram.load(receive.layout.descriptors + 16 * UInt64(used.head), as: UInt64.self)
                else { return nil }
                let part = driven.ram.read(Int(used.written), at: address) ?? []
                if count == 0, part.count >= 12 { wanted = Int(part[10]) | Int(part[11]) << 8 }
                bytes += part
                count += 1
            }
            return (Array(bytes.prefix(12)), Array(bytes.dropFirst(12)), count)
        }

        /// Sends a frame behind a header, as several pieces.
        func send(_ frame: [UInt8], header: [UInt8] = [UInt8](repeating: 0, count: 12), cut: Int = 20) {
            let address = driven.buffers + 0x40_0000
            _ = driven.ram.write(header + frame, at: address)
            let total = 12 + frame.count
            let first = min(cut, total)
            var pieces: [DriverQueue.Buffer] = [.read(address, UInt32(first))]
            if total > first { pieces.append(.read(address + UInt64(first), UInt32(total - first))) }
            transmit.add(pieces)
            driven.kick(1)
        }

        var isLinkUp: Bool { device.configuration.read(offset: 6, size: 2) & 1 == 1 }
    }

    static func frame(_ count: Int, from: [UInt8] = [2, 0, 0, 0, 0, 1]) -> [UInt8] {
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] + from + [0x88, 0xb5]
            + (0..<count - 14).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    }

    private func socketCard(
        features: (VirtioFeatures) -> VirtioFeatures = { $0 }
    ) throws -> (card: Card, peer: SharedFD) {
        var fds: [Int32] = [-1, -1]
        try check(clinux_frame_pair(&fds), "make a pair")
        return (try Card([try .frames(OwnedFD(fds[0]))], features: features), SharedFD(OwnedFD(fds[1])))
    }

    private func takeFrame(_ fd: Int32, seconds: Double = 5) -> [UInt8]? {
        var waiting = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, Int32(seconds * 1000)) == 1 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 70_000)
        let count = read(fd, &buffer, buffer.count)
        return count >= 0 ? Array(buffer.prefix(count)) : nil
    }

    private func putFrame(_ fd: Int32, _ frame: [UInt8]) -> Bool {
        frame.withUnsafeBytes { write(fd, $0.baseAddress, $0.count) } == frame.count
    }

    @Test func `frames go both ways over a socket, without headers there and with them here`() throws {
        let (card, peer) = try socketCard()
        card.giveBuffers(8, of: 2048)
        for count in [14, 60, 1514] {
            let frame = Self.frame(count)
            card.send(frame)
            #expect(takeFrame(peer.raw) == frame)
            #expect(card.transmit.waitUsed() != nil)
            #expect(putFrame(peer.raw, frame))
            let received = try #require(card.nextFrame())
            #expect(received.frame == frame && received.buffers == 1)
            #expect(received.header == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])
        }
    }

    @Test(arguments: [13, 40, 100, 512])
    func `a frame comes in as many small buffers as it needs`(size: Int) throws {
        let (card, peer) = try socketCard()
        card.giveBuffers(240, of: size)
        for count in [60, 1000, 1514] {
            let frame = Self.frame(count)
            #expect(putFrame(peer.raw, frame))
            let received = try #require(card.nextFrame())
            #expect(received.frame == frame)
            #expect(received.buffers == (12 + count + size - 1) / size)
        }
    }

    @Test func `without merging a frame that is too long for its buffer is lost, and the next one comes`() throws {
        let (card, peer) = try socketCard { $0.subtracting(.Net.mergeable) }
        card.giveBuffers(4, of: 200)
        #expect(putFrame(peer.raw, Self.frame(1000)))
        #expect(putFrame(peer.raw, Self.frame(100)))
        #expect(card.nextFrame()?.frame == Self.frame(100))
        #expect(!card.driven.needsReset)
    }

    @Test func `frames wait for buffers, and for buffers only`() throws {
        let (card, peer) = try socketCard()
        for count in [100, 101, 102] { #expect(putFrame(peer.raw, Self.frame(count))) }
        pause(milliseconds: 20)
        #expect(card.receive.takeUsed() == nil)
        for count in [100, 101, 102] {
            card.giveBuffers(1, of: 1600)
            #expect(card.nextFrame()?.frame == Self.frame(count))
        }
    }

    @Test func `a slow other side loses nothing`() throws {
        let (card, peer) = try socketCard()
        var sent = 0
        // More than a socket holds.
        while sent < 2000 {
            guard card.transmit.made &- card.transmit.usedIndex < 100 else {
                if card.transmit.takeUsed() == nil { break }
                continue
            }
            card.send([0, 0] + withUnsafeBytes(of: UInt32(sent).littleEndian, Array.init) + Self.frame(1000))
            while card.transmit.takeUsed() != nil {}
            sent += 1
            if sent % 50 == 0 { pause(milliseconds: 1) }
        }
        #expect(sent > 100)
        var number: UInt32 = 0
        while let frame = takeFrame(peer.raw, seconds: 0.5) {
            // One buffer for all of them: only the order can be told, by lengths.
            #expect(frame.count == 1006)
            number += 1
        }
        #expect(number == UInt32(sent))
    }

    @Test func `the other side's end pulls the cable`() throws {
        var fds: [Int32] = [-1, -1]
        try check(clinux_frame_pair(&fds), "make a pair")
        let card = try Card([try .frames(OwnedFD(fds[0]))])
        card.giveBuffers(2, of: 2000)
        #expect(card.isLinkUp)
        close(fds[1])
        #expect(card.driven.wait { !card.isLinkUp })
        card.send(Self.frame(60))
        #expect(card.transmit.waitUsed() != nil, "frames are taken, and lost")
        #expect(!card.driven.needsReset)
        #expect(card.messages.withLock { $0.count } == 1)
    }

    @Test func `a frame shorter than its header is taken and goes nowhere`() throws {
        let (card, peer) = try socketCard()
        for count in [1, 11, 12] {
            card.transmit.add([.read(card.driven.buffers, UInt32(count))])
            card.driven.kick(1)
            #expect(card.transmit.waitUsed() != nil)
        }
        card.transmit.add([.write(card.driven.buffers, 100)])
        card.driven.kick(1)
        #expect(card.transmit.waitUsed() != nil)
        card.send(Self.frame(60))
        #expect(takeFrame(peer.raw) == Self.frame(60))
    }

    @Test func `buffers that can't be written are given back empty`() throws {
        let (card, peer) = try socketCard()
        card.receive.add([.read(card.driven.buffers, 2000)])
        card.giveBuffers(2, of: 2000)
        #expect(putFrame(peer.raw, Self.frame(60)))
        #expect(card.receive.waitUsed()?.written == 0)
        #expect(card.nextFrame()?.frame == Self.frame(60))
    }

    @Test func `buffers that hold no frame are given back empty, and nobody turns in circles over them`() throws {
        let (card, peer) = try socketCard { $0.subtracting(VirtioFeatures.Net.mergeable) }
        card.giveBuffers(3, of: 12)
        for _ in 0..<3 { #expect(card.receive.waitUsed()?.written == 0) }
        card.giveBuffers(1, of: 2048)
        #expect(putFrame(peer.raw, Self.frame(60)))
        #expect(card.nextFrame()?.frame == Self.frame(60))
    }

    @Test func `the control queue does what is offered and refuses the rest`() throws {
        let (card, _) = try socketCard()
        let control = try #require(card.driven.queues[2])
        func command(_ bytes: [UInt8]) -> UInt8? {
            let address = card.driven.buffers + 0x50_0000
            _ = card.driven.ram.write(bytes + [0xee], at: address)
            control.add([
                .read(address, UInt32(bytes.count)), .write(address + UInt64(bytes.count), 1),
            ])
            card.driven.kick(2)
            guard control.waitUsed() != nil else { return nil }
            return card.driven.ram.load(address + UInt64(bytes.count))
        }
        #expect(command([1, 1, 2, 4, 6, 8, 10, 12]) == 0)
        #expect(card.device.configuration.read(offset: 0, size: 6) == 0x0c0a_0806_0402)
        #expect(command([1, 1, 2, 4]) == 1)
        #expect(command([4, 0, 1, 0]) == 1, "one pair only")
        #expect(command([5, 0, 0, 0, 0, 0, 0, 0, 0, 0]) == 1, "no offloads on a socket")
        #expect(command([0, 0, 1]) == 1)
        #expect(command([99, 99]) == 1)
        control.add([.read(card.driven.buffers, 1)])
        card.driven.kick(2)
        #expect(card.driven.wait { card.driven.needsReset })
    }

    @Test func `resets while frames come leave a card that works`() throws {
        let (card, peer) = try socketCard()
        for _ in 0..<200 {
            for _ in 0..<5 { _ = putFrame(peer.raw, Self.frame(300)) }
            card.giveBuffers(8, of: 1600)
            card.send(Self.frame(60))
            card.driven.put(0x70, 0)
            card.restart()
            while let frame = takeFrame(peer.raw, seconds: 0) { #expect(frame == Self.frame(60)) }
        }
        // What still lies in the socket comes first.
        card.giveBuffers(250, of: 1600)
        var number = 0
        while card.nextFrame(seconds: 0.3) != nil {
            card.giveBuffers(1, of: 1600, from: number % 250)
            number += 1
        }
        #expect(putFrame(peer.raw, Self.frame(77)))
        #expect(card.nextFrame()?.frame == Self.frame(77))
    }

    // MARK: Taps

    /// A tap in a network namespace of its own, with a packet socket on its other side.
    final class TapWorld: Sendable {
        let taps: Locked<[Int32]>
        let packets: SharedFD

        init(queues: Int = 1, header: Bool = true) throws {
            let made = try OSThread.run { () throws(UrsaError) -> ([Int32], Int32) in
                try check(clinux_unshare_network(), "leave the network")
                var taps: [Int32] = []
                for _ in 0..<queues {
                    taps.append(
                        try check(clinux_tap_open_queue("tap0", header ? 1 : 0, queues > 1 ? 1 : 0), "open a tap"))
                }
                try Program("ip", ["link", "set", "tap0", "addrgenmode", "none"]).require("quiet the tap")
                try Program("ip", ["link", "set", "tap0", "up"]).require("start the tap")
                let index = if_nametoindex("tap0")
                return (taps, try check(clinux_packet_open(Int32(index), 1), "open a packet socket"))
            }
            taps = Locked(made.0)
            packets = SharedFD(OwnedFD(made.1))
        }

        func backends() throws -> [NetworkBackend] {
            var result: [NetworkBackend] = []
            for fd in taps.withLock({ $0 }) { result.append(try .tap(OwnedFD(fd))) }
            return result
        }
    }

    @Test(.enabled(if: geteuid() == 0), arguments: [true, false])
    func `frames go both ways over a tap`(header: Bool) throws {
        let world = try TapWorld(header: header)
        let card = try Card(try world.backends())
        #expect(card.device.offeredFeatures.contains(.Net.checksum) == header)
        card.giveBuffers(100, of: 1600)
        for count in [60, 1514] {
            let frame = Self.frame(count)
            card.send(frame)
            #expect(takeFrame(world.packets.raw) == frame)
            #expect(putFrame(world.packets.raw, frame))
            #expect(card.nextFrame()?.frame == frame)
        }
    }

    @Test(.enabled(if: geteuid() == 0))
    func `a tap with two queues has two pairs, of which the driver takes what it asks for`() throws {
        let world = try TapWorld(queues: 2)
        let card = try Card(try world.backends())
        #expect(card.device.configuration.read(offset: 8, size: 2) == 2)
        #expect(card.device.offeredFeatures.contains(.Net.manyQueues))
        let control = try #require(card.driven.queues[4])
        for (pairs, answer) in [(2, 0), (0, 1), (3, 1), (1, 0), (2, 0)] as [(UInt8, UInt8)] {
            let address = card.driven.buffers + 0x50_0000
            _ = card.driven.ram.write([4, 0, pairs, 0, 0xee], at: address)
            control.add([.read(address, 4), .write(address + 4, 1)])
            card.driven.kick(4)
            #expect(control.waitUsed() != nil)
            #expect(card.driven.ram.load(address + 4) == answer)
        }
        // Frames that the kernel puts into either queue come.
        for index in [0, 2] {
            for number in 0..<50 {
                card.driven.queues[index]?.add([
                    .write(card.driven.buffers + UInt64(index * 0x10_0000 + number * 4096), 2048)
                ])
            }
            card.driven.kick(index)
        }
        var count = 0
        for number in 0..<20 {
            #expect(putFrame(world.packets.raw, Self.frame(100, from: [2, 0, 0, 0, 0, UInt8(number)])))
        }
        #expect(
            card.driven.wait {
                for index in [0, 2] { while card.driven.queues[index]?.takeUsed() != nil { count += 1 } }
                return count >= 20
            })
    }

    @Test(.enabled(if: geteuid() == 0))
    func `a driver that knows no several queues has one pair, and its control queue right after`() throws {
        let world = try TapWorld(queues: 2)
        let card = try Card(try world.backends()) { $0.subtracting(.Net.manyQueues) }
        let control = try #require(card.driven.queues[2])
        for (bytes, answer) in [([1, 1, 2, 0, 0, 0, 0, 9], 0), ([4, 0, 1, 0], 1)] as [([UInt8], UInt8)] {
            let address = card.driven.buffers + 0x50_0000
            _ = card.driven.ram.write(bytes + [0xee], at: address)
            let count = UInt32(bytes.count)
            control.add([.read(address, count), .write(address + UInt64(count), 1)])
            card.driven.kick(2)
            #expect(control.waitUsed() != nil)
            #expect(card.driven.ram.load(address + UInt64(count)) == answer)
        }
        // All frames come through the one pair that takes part.
        card.giveBuffers(50, of: 2048)
        for number in 0..<20 {
            #expect(putFrame(world.packets.raw, Self.frame(100, from: [2, 0, 0, 0, 0, UInt8(number)])))
        }
        var count = 0
        #expect(
            card.driven.wait {
                while card.receive.takeUsed() != nil { count += 1 }
                return count >= 20
            })
    }

    @Test(.enabled(if: geteuid() == 0))
    func `pairs are taken and left again and again while frames come`() throws {
        let world = try TapWorld(queues: 4)
        let card = try Card(try world.backends())
        for round in 0..<200 {
            let control = try #require(card.driven.queues[8])
            let address = card.driven.buffers + 0x50_0000
            _ = card.driven.ram.write([4, 0, UInt8(1 + round % 4), 0, 0xee], at: address)
            control.add([.read(address, 4), .write(address + 4, 1)])
            card.driven.kick(8)
            for number in 0..<4 {
                _ = putFrame(world.packets.raw, Self.frame(100, from: [2, 0, 0, 0, 0, UInt8(number)]))
            }
            #expect(control.waitUsed() != nil)
            #expect(card.driven.ram.load(address + 4) == UInt8(0))
            if round % 20 == 19 { card.restart() }
        }
        #expect(!card.driven.needsReset)
    }

    @Test(.enabled(if: geteuid() == 0))
    func `headers that make no sense harm nobody`() throws {
        let world = try TapWorld()
        let card = try Card(try world.backends())
        var random = Seeded(3)
        for _ in 0..<500 {
            let header = (0..<12).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            card.send(Self.frame(60 + random.below(1000)), header: header)
            #expect(card.transmit.waitUsed() != nil)
            while takeFrame(world.packets.raw, seconds: 0) != nil {}
        }
        card.send(Self.frame(99))
        var last: [UInt8]?
        while let frame = takeFrame(world.packets.raw, seconds: 0.5) { last = frame }
        #expect(last == Self.frame(99))
    }

    @Test(.enabled(if: geteuid() == 0))
    func `a tap that vanishes pulls the cable, and the guest goes on`() throws {
        let name = try OSThread.run { () throws(UrsaError) -> (Int32, Int32) in
            try check(clinux_unshare_network(), "leave the network")
            let tap = try check(clinux_tap_open_queue("tap0", 1, 0), "open a tap")
            try Program("ip", ["link", "set", "tap0", "up"]).require("start the tap")
            return (tap, Int32(try File.open("/proc/thread-self/ns/net", O_RDONLY).release()))
        }
        let namespace = SharedFD(OwnedFD(name.1))
        let card = try Card([try .tap(OwnedFD(name.0))])
        card.giveBuffers(100, of: 1600)
        _ = try OSThread.run { () throws(UrsaError) -> Int32 in
            try check(clinux_setns_network(namespace.raw), "enter the network")
            try Program("ip", ["link", "del", "tap0"]).require("delete the tap")
            return 0
        }
        #expect(card.driven.wait { !card.isLinkUp })
        card.send(Self.frame(60))
        #expect(card.transmit.waitUsed() != nil)
        #expect(!card.driven.needsReset)
    }
}
