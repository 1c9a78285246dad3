import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaVMM

/// Vsock over real unix sockets, with a guest's driver that is this test.
@Suite struct VsockTests {
    final class Guest {
        let folder: Scratch
        let driven: DrivenDevice
        /// The broker's side of its socket.
        let broker: SharedFD
        let log = Locked<[String]>([])
        private var next = 0

        /// - Parameter hasBroker: without one the test answers in its place.
        init(hasBroker: Bool = true) throws {
            folder = try Scratch()
            let listener = try UnixSocket.listen(folder.file("in"))
            let pair = try VsockBroker.messagePair()
            let its = SharedFD(OwnedFD(pair.broker))
            broker = its
            let log = log
            driven = try DrivenDevice(
                try VsockDevice(cid: 7, listener: SharedFD(listener), broker: SharedFD(OwnedFD(pair.monitor))) { line in
                    log.withLock { $0.append(line) }
                })
            if hasBroker {
                let directory = SharedFD(try File.open(folder.path, O_RDONLY | O_DIRECTORY))
                // Ends with the device.
                _ = try OSThread { VsockBroker.serve(its.raw, folder: directory.raw) }
            }
            start()
        }

        /// A request to the broker, when there is one.
        func asked() -> VsockBroker.Request? {
            var request = VsockBroker.Request()
            var stray: Int32 = -1
            return clinux_receive_message(broker.raw, &request, 8, &stray, 0) == 8 ? request : nil
        }

        /// An answer in the broker's place.
        func answer(_ number: UInt32, error: UInt32 = 0, with fd: Int32 = -1) {
            var answer = VsockBroker.Answer(number: number, error: error)
            _ = clinux_send_message(broker.raw, &answer, 8, fd, 1)
        }

        func start() {
            driven.start(size: 128)
            for number in 0..<100 {
                driven.queues[0]?.add([.write(driven.buffers + UInt64(number * 8192), 8192)])
            }
            driven.kick(0)
        }

        func send(
            _ operation: UInt16, host: UInt32, guest: UInt32, _ data: [UInt8] = [], flags: UInt32 = 0,
            room: UInt32 = 1 << 16, forwarded: UInt32 = 0, type: UInt16 = 1, length: UInt32? = nil, cid: UInt64 = 7,
            seconds: Double = 10
        ) {
            var header = VsockHeader()
            header.source = cid
            header.destination = 2
            header.sourcePort = guest
            header.destinationPort = host
            header.length = length ?? UInt32(data.count)
            header.type = type
            header.operation = operation
            header.flags = flags
            header.room = room
            header.forwarded = forwarded
            let place = driven.buffers + 0x20_0000 + UInt64(next % 16) * 0x2_0000
            next += 1
            _ = driven.ram.write(header.bytes + data, at: place)
            driven.queues[1]?.add([.read(place, 44), .read(place + 44, UInt32(max(1, data.count)))])
            driven.kick(1)
            _ = driven.queues[1]?.waitUsed(seconds: seconds)
        }

        struct Packet {
            var operation: UInt16
            var host: UInt32
            var guest: UInt32
            var flags: UInt32
            var forwarded: UInt32
            var data: [UInt8]
        }

        func receive(seconds: Double = 5) -> Packet? {
            guard let queue = driven.queues[0], let used = queue.waitUsed(seconds: seconds),
                let address = driven.ram.load(queue.layout.descriptors + 16 * UInt64(used.head), as: UInt64.self),
                let bytes = driven.ram.read(Int(used.written), at: address), bytes.count >= 44
            else { return nil }
            func word(_ place: Int) -> UInt32 {
                (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << UInt32(8 * $1) }
            }
            queue.add([.write(address, 8192)])
            driven.kick(0)
            return Packet(
                operation: UInt16(word(28) >> 16), host: word(16), guest: word(20), flags: word(32),
                forwarded: word(40), data: Array(bytes.dropFirst(44)))
        }
    }

    private func hear(_ fd: Int32, _ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var waiting = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        while bytes.count < count, poll(&waiting, 1, 5000) == 1 {
            var buffer = [UInt8](repeating: 0, count: count - bytes.count)
            let got = read(fd, &buffer, buffer.count)
            guard got > 0 else { break }
            bytes += buffer.prefix(got)
        }
        return bytes
    }

    @Test func `a program of the host reaches a port of the guest`() throws {
        let guest = try Guest()
        let client = try UnixSocket.connect(guest.folder.file("in"))
        try writeAllBytes(client.raw, Array("CONNECT 52\nhello".utf8), "vsock")
        let request = try #require(guest.receive())
        #expect(request.operation == 1 && request.guest == 52)
        guest.send(2, host: request.host, guest: 52)
        let answer = hear(client.raw, "OK \(request.host)\n".utf8.count)
        #expect(String(decoding: answer, as: UTF8.self) == "OK \(request.host)\n")
        let data = try #require(guest.receive())
        #expect(data.operation == 5 && data.data == Array("hello".utf8))
        guest.send(5, host: request.host, guest: 52, Array("welcome".utf8))
        let welcome = hear(client.raw, 7)
        #expect(welcome == Array("welcome".utf8))
        // The host's end, then the guest's: half of it at a time.
        shutdown(client.raw, Int32(SHUT_WR))
        let ended = try #require(guest.receive())
        #expect(ended.operation == 4 && ended.flags == 2)
        guest.send(5, host: request.host, guest: 52, Array("last".utf8))
        guest.send(4, host: request.host, guest: 52, flags: 2)
        let last = hear(client.raw, 100)
        #expect(last == Array("last".utf8))
        #expect(guest.receive()?.operation == 3)
    }

    @Test func `a program of the guest reaches a socket in the folder, and nothing else`() throws {
        let guest = try Guest()
        let listener = try UnixSocket.listen(guest.folder.file("1024"))
        guest.send(1, host: 1024, guest: 40000)
        let response = try #require(guest.receive())
        #expect(response.operation == 2 && response.host == 1024 && response.guest == 40000)
        let accepted = OwnedFD(accept(listener.raw, nil, nil))
        guest.send(5, host: 1024, guest: 40000, [1, 2, 3])
        let heard = hear(accepted.raw, 3)
        #expect(heard == [1, 2, 3])
        try writeAllBytes(accepted.raw, [4, 5], "vsock")
        #expect(guest.receive()?.data == [4, 5])
        guest.send(3, host: 1024, guest: 40000)
        let end = hear(accepted.raw, 1)
        #expect(end == [])
        guest.send(1, host: 999, guest: 40000)
        #expect(guest.receive()?.operation == 3)
    }

    @Test func `a slow program of the host holds the guest back by credit, and nothing grows`() throws {
        let guest = try Guest()
        let listener = try UnixSocket.listen(guest.folder.file("5"))
        guest.send(1, host: 5, guest: 9)
        _ = guest.receive()
        let accepted = OwnedFD(accept(listener.raw, nil, nil))
        // What the socket takes, then 64 KiB; who sends more is cut off.
        let block = [UInt8](repeating: 9, count: 60_000)
        var last: Guest.Packet?
        for _ in 0..<100 where last?.operation != 3 {
            guest.send(5, host: 5, guest: 9, block)
            while let packet = guest.receive(seconds: 0.02) { last = packet }
        }
        #expect(last?.operation == 3)
        let heard = hear(accepted.raw, 100_000)
        #expect(heard.count == 100_000)
    }

    @Test func `the guest's credit is kept to`() throws {
        let guest = try Guest()
        let listener = try UnixSocket.listen(guest.folder.file("5"))
        guest.send(1, host: 5, guest: 9, room: 1000)
        _ = guest.receive()
        let accepted = OwnedFD(accept(listener.raw, nil, nil))
        try writeAllBytes(accepted.raw, [UInt8](repeating: 1, count: 3000), "vsock")
        #expect(guest.receive()?.data.count == 1000)
        #expect(guest.receive(seconds: 0.1) == nil)
        guest.send(6, host: 5, guest: 9, room: 1000, forwarded: 1000)
        #expect(guest.receive()?.data.count == 1000)
    }

    @Test func `packets that make no sense are answered by resets or not at all`() throws {
        let guest = try Guest()
        for (operation, type) in [(5, 1), (2, 1), (4, 1), (6, 1), (99, 1), (1, 2)] as [(UInt16, UInt16)] {
            guest.send(operation, host: 77, guest: 78, type: type)
            let answer = guest.receive()
            #expect(answer?.operation == 3 && answer?.host == 77 && answer?.guest == 78)
        }
        guest.send(3, host: 77, guest: 78)
        guest.send(5, host: 77, guest: 78, cid: 8)
        guest.driven.queues[1]?.add([.read(guest.driven.buffers, 43)])
        guest.driven.kick(1)
        #expect(guest.receive(seconds: 0.1) == nil)
        // Says that it has more than it has.
        let listener = try UnixSocket.listen(guest.folder.file("5"))
        guest.send(1, host: 5, guest: 9)
        #expect(guest.receive()?.operation == 2)
        guest.send(5, host: 5, guest: 9, [1], length: 100)
        #expect(guest.receive()?.operation == 3)
        #expect(!guest.driven.needsReset)
        _ = consume listener
    }

    @Test func `callers that say nonsense or go away are forgotten, and resets leave a device that works`() throws {
        let guest = try Guest()
        for line in ["GET / HTTP/1.1\r\n", "CONNECT\n", "CONNECT 99999999999\n", String(repeating: "x", count: 100)] {
            let client = try UnixSocket.connect(guest.folder.file("in"))
            try writeAllBytes(client.raw, Array(line.utf8), "vsock")
            let answer = hear(client.raw, 1)
            #expect(answer == [])
        }
        for _ in 0..<20 {
            let client = try UnixSocket.connect(guest.folder.file("in"))
            try writeAllBytes(client.raw, Array("CONNECT 5".utf8), "vsock")
            guest.driven.put(0x70, 0)
            guest.start()
        }
        let client = try UnixSocket.connect(guest.folder.file("in"))
        try writeAllBytes(client.raw, Array("CONNECT 6\n".utf8), "vsock")
        #expect(guest.receive()?.guest == 6)
        _ = consume client
    }

    // MARK: The broker

    @Test func `requests wait for the broker up to a bound, then the guest waits, and nothing is lost`() throws {
        let guest = try Guest(hasBroker: false)
        for port in 0..<UInt32(VsockOutlet.limit) { guest.send(1, host: 5, guest: 1000 + port) }
        guest.send(1, host: 5, guest: 2000, seconds: 0.1)
        var numbers: [UInt32] = []
        while let request = guest.asked() { numbers.append(request.number) }
        #expect(numbers.count == VsockOutlet.limit)
        // As soon as one is answered there is a place for the next.
        guest.answer(numbers[0], error: UInt32(ECONNREFUSED))
        #expect(guest.receive()?.operation == 3)
        #expect(guest.driven.wait { guest.asked().map { numbers.append($0.number) } != nil })
        for number in numbers.dropFirst() { guest.answer(number, error: UInt32(ENOENT)) }
        for _ in numbers.dropFirst() { #expect(guest.receive()?.operation == 3) }
        guest.send(1, host: 6, guest: 1)
        #expect(guest.driven.wait { guest.asked()?.port == 6 })
    }

    @Test func `when the broker ends, the guest's requests are refused, its connections stay, and one line tells`()
        throws
    {
        let guest = try Guest()
        let listener = try UnixSocket.listen(guest.folder.file("5"))
        guest.send(1, host: 5, guest: 9)
        #expect(guest.receive()?.operation == 2)
        let accepted = OwnedFD(accept(listener.raw, nil, nil))
        shutdown(guest.broker.raw, Int32(SHUT_RDWR))
        for port in 10..<30 as Range<UInt32> {
            guest.send(1, host: 5, guest: port)
            let answer = guest.receive()
            #expect(answer?.operation == 3 && answer?.guest == port)
        }
        guest.send(5, host: 5, guest: 9, [1, 2])
        let heard = hear(accepted.raw, 2)
        #expect(heard == [1, 2])
        // A driver that starts anew finds it so, too.
        guest.driven.put(0x70, 0)
        guest.start()
        guest.send(1, host: 5, guest: 9)
        #expect(guest.receive()?.operation == 3)
        #expect(guest.log.withLock { $0.count } == 1)
    }

    @Test func `a request that was taken back, or of an earlier driver, leads to no connection`() throws {
        let guest = try Guest(hasBroker: false)
        for way in 0..<3 {
            guest.send(1, host: 5, guest: 9)
            let request = try #require(guest.asked())
            switch way {
            case 0: guest.send(3, host: 5, guest: 9)
            case 1:
                // The same request again: no driver does.
                guest.send(1, host: 5, guest: 9)
                #expect(guest.receive()?.operation == 3)
            default:
                guest.driven.put(0x70, 0)
                guest.start()
            }
            let pair = try UnixSocket.pair()
            let one = pair.one
            let other = pair.other
            guest.answer(request.number, with: other.raw)
            _ = consume other
            // Its only holder closes it.
            let end = hear(one.raw, 1)
            #expect(end == [])
            #expect(guest.receive(seconds: 0.05) == nil)
        }
    }

    @Test func `answers that nobody asked for are dropped, and one that is none ends the broker's use`() throws {
        let guest = try Guest(hasBroker: false)
        guest.send(1, host: 5, guest: 9)
        let request = try #require(guest.asked())
        let pair = try UnixSocket.pair()
        let one = pair.one
        let other = pair.other
        for number in [0, request.number &+ 1, .max] as [UInt32] { guest.answer(number, with: other.raw) }
        // Success without a connection is none.
        guest.answer(request.number)
        #expect(guest.receive()?.operation == 3)
        _ = consume other
        let end = hear(one.raw, 1)
        #expect(end == [])
        guest.send(1, host: 5, guest: 9)
        var nonsense: [UInt8] = [1, 2, 3]
        _ = clinux_send_message(guest.broker.raw, &nonsense, 3, -1, 1)
        #expect(guest.receive()?.operation == 3)
        #expect(guest.log.withLock { $0.count } == 1)
    }

    @Test func `a guest that opens as many connections as it likes gets a bounded number`() throws {
        let guest = try Guest()
        let listener = try UnixSocket.listen(guest.folder.file("5"), backlog: 4096)
        var made = 0
        for port in 0..<400 as Range<UInt32> {
            guest.send(1, host: 5, guest: port)
            if guest.receive()?.operation == 2 { made += 1 }
        }
        #expect(made == 256)
        // One that ends makes room for another.
        guest.send(3, host: 5, guest: 0)
        guest.send(1, host: 5, guest: 5000)
        #expect(guest.receive()?.operation == 2)
        _ = consume listener
    }

    @Test func `a program of the host that does not wait for the guest's answer leaves nothing`() throws {
        let guest = try Guest()
        for _ in 0..<300 {
            let client = try UnixSocket.connect(guest.folder.file("in"))
            try writeAllBytes(client.raw, Array("CONNECT 52\n".utf8), "vsock")
            #expect(guest.receive()?.operation == 1)
            _ = consume client
            #expect(guest.receive()?.operation == 3)
        }
    }
}
