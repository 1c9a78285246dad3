import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaVMM

/// Each fault that a driver can put into a virtqueue, and the counting of indices and events.
@Suite struct QueueTests {
    private let ram: GuestRAM
    private let driver: DriverQueue
    private static let data: UInt64 = 0x8_0000

    init() throws {
        ram = try GuestRAM(bytes: 1 << 20)
        driver = DriverQueue(ram, at: 0x1000, size: 8)
    }

    private func queue(_ features: VirtioFeatures = .ground) throws -> Queue {
        try Queue(driver.layout, in: ram, features: features, largest: 256)
    }

    /// The fault that taking the next chain ends in.
    private func fault(_ features: VirtioFeatures = .ground, capacity: Int = 16) throws -> QueueFault? {
        var queue = try queue(features)
        var chain = Chain(capacity: capacity)
        guard case .broken = queue.next(into: &chain) else { return nil }
        let first = queue.fault
        // It stays broken, whatever comes.
        driver.add([.read(Self.data, 1)])
        guard case .broken = queue.next(into: &chain) else { return nil }
        return first
    }

    /// What `#expect` can't say of values that can't be copied.
    private func expect(_ holds: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(holds, sourceLocation: sourceLocation)
    }

    // MARK: Layout

    @Test(arguments: [0, 3, 24, 512] as [UInt16])
    func `a size that is zero, no power of two or too large is refused`(size: UInt16) {
        let layout = QueueLayout(size: size, descriptors: 0x1000, available: 0x4000, used: 0x6000)
        #expect(layout.fault(in: ram, largest: 256) == .size)
    }

    @Test func `parts of a queue must be aligned`() {
        for (descriptors, available, used) in [
            (0x1008, 0x4000, 0x6000), (0x1000, 0x4001, 0x6000), (0x1000, 0x4000, 0x6002),
        ]
            as [(UInt64, UInt64, UInt64)]
        {
            let layout = QueueLayout(size: 8, descriptors: descriptors, available: available, used: used)
            #expect(layout.fault(in: ram, largest: 256) == .alignment)
        }
    }

    @Test func `parts of a queue must lie in memory to their last byte`() {
        let end: UInt64 = 1 << 20
        let good = QueueLayout(size: 8, descriptors: end - 128, available: 0x4000, used: 0x6000)
        #expect(good.fault(in: ram, largest: 256) == nil)
        for (descriptors, available, used) in [
            (end - 112, 0x4000, 0x6000), (0x1000, end - 20, 0x6000), (0x1000, 0x4000, end - 68),
            (UInt64.max & ~15, 0x4000, 0x6000), (0x1000, UInt64.max & ~1, 0x6000), (0x1000, 0x4000, UInt64.max & ~3),
        ] as [(UInt64, UInt64, UInt64)] {
            let layout = QueueLayout(size: 8, descriptors: descriptors, available: available, used: used)
            #expect(layout.fault(in: ram, largest: 256) == .ringOutside)
        }
    }

    // MARK: Chains

    @Test func `a chain's pieces are those of its descriptors, readable before writable`() throws {
        driver.add([.read(Self.data, 16), .read(Self.data + 0x1000, 4), .write(Self.data + 0x2000, 512)])
        var queue = try queue()
        var chain = Chain(capacity: 16)
        guard case .chain = queue.next(into: &chain) else { throw UrsaError(.bug, "no chain") }
        expect(chain.readable.map(\.iov_len) == [16, 4])
        expect(chain.writable.map(\.iov_len) == [512])
        expect(chain.readableBytes == 20 && chain.writableBytes == 512)
        expect(chain.readable[0].iov_base == ram.pointer(Self.data, 16))
        guard case .none = queue.next(into: &chain) else { throw UrsaError(.bug, "two chains") }
    }

    @Test func `an indirect table is followed`() throws {
        driver.addIndirect(
            [.read(Self.data, 16), .write(Self.data + 64, 8), .write(Self.data + 128, 1)], table: 0x9000)
        var queue = try queue()
        var chain = Chain(capacity: 16)
        guard case .chain = queue.next(into: &chain) else { throw UrsaError(.bug, "no chain") }
        expect(chain.readableBytes == 16 && chain.writableBytes == 9 && chain.writable.count == 2)
    }

    @Test func `an empty descriptor is passed over`() throws {
        driver.add([.read(UInt64.max, 0), .read(Self.data, 4), .write(0, 0)])
        var queue = try queue()
        var chain = Chain(capacity: 16)
        guard case .chain = queue.next(into: &chain) else { throw UrsaError(.bug, "no chain") }
        expect(chain.readable.count == 1 && chain.writable.count == 0)
    }

    @Test func `more available chains than entries break the queue`() throws {
        driver.publish(9)
        #expect(try fault() == .tooManyAvailable)
    }

    @Test func `an available index that goes back breaks the queue`() throws {
        driver.publish(UInt16.max)
        #expect(try fault() == .tooManyAvailable)
    }

    @Test func `a head outside of the table breaks the queue`() throws {
        driver.offer(8)
        #expect(try fault() == .headOutside)
    }

    @Test func `a next descriptor outside of the table breaks the queue`() throws {
        driver.descriptor(0, Self.data, 4, DriverQueue.Flag.next, next: 8)
        driver.offer(0)
        #expect(try fault() == .nextOutside)
    }

    @Test func `a chain that goes in a circle breaks the queue`() throws {
        driver.descriptor(0, Self.data, 4, DriverQueue.Flag.next, next: 1)
        driver.descriptor(1, Self.data, 4, DriverQueue.Flag.next, next: 0)
        driver.offer(0)
        #expect(try fault() == .tooLong)
    }

    @Test func `a circle of empty descriptors breaks the queue`() throws {
        driver.descriptor(3, 0, 0, DriverQueue.Flag.next, next: 3)
        driver.offer(3)
        #expect(try fault() == .tooLong)
    }

    @Test func `a circle inside of an indirect table breaks the queue`() throws {
        driver.descriptor(in: 0x9000, 0, Self.data, 1, DriverQueue.Flag.next, next: 1)
        driver.descriptor(in: 0x9000, 1, Self.data, 1, DriverQueue.Flag.next, next: 0)
        driver.descriptor(0, 0x9000, 32, DriverQueue.Flag.indirect)
        driver.offer(0)
        #expect(try fault() == .tooLong)
    }

    @Test(
        arguments: [
            (1 << 20, 1), ((1 << 20) - 4, 8), (UInt64.max - 3, 8), (UInt64.max, 1), (0x8000_0000, 4096),
            (4096, UInt32.max),
        ] as [(UInt64, UInt32)])
    func `a buffer outside of memory breaks the queue`(address: UInt64, length: UInt32) throws {
        driver.add([.read(address, length)])
        #expect(try fault() == .bufferOutside)
    }

    @Test func `a buffer for reading behind one for writing breaks the queue`() throws {
        driver.add([.write(Self.data, 4), .read(Self.data, 4)])
        #expect(try fault() == .order)
    }

    @Test func `an indirect descriptor that was not negotiated breaks the queue`() throws {
        driver.addIndirect([.read(Self.data, 4)], table: 0x9000)
        #expect(try fault([.version1, .eventIndex]) == .indirectNotOffered)
    }

    @Test func `an indirect table in an indirect table breaks the queue`() throws {
        driver.descriptor(in: 0x9000, 0, 0xa000, 16, DriverQueue.Flag.indirect)
        driver.descriptor(0, 0x9000, 16, DriverQueue.Flag.indirect)
        driver.offer(0)
        #expect(try fault() == .indirectNested)
    }

    @Test func `an indirect descriptor with a next one breaks the queue`() throws {
        driver.descriptor(0, 0x9000, 16, DriverQueue.Flag.indirect | DriverQueue.Flag.next, next: 1)
        driver.offer(0)
        #expect(try fault() == .indirectChained)
    }

    @Test(arguments: [0, 8, 17, 16 * 17, 0xffff_fff0] as [UInt32])
    func `an indirect table of a wrong length breaks the queue`(length: UInt32) throws {
        driver.descriptor(0, 0x9000, length, DriverQueue.Flag.indirect)
        driver.offer(0)
        #expect(try fault() == .indirectSize)
    }

    @Test(arguments: [(1 << 20) - 16, UInt64.max & ~15, 0x9008] as [UInt64])
    func `an indirect table outside of memory or out of line breaks the queue`(table: UInt64) throws {
        driver.descriptor(0, table, 32, DriverQueue.Flag.indirect)
        driver.offer(0)
        #expect(try fault() == .bufferOutside)
    }

    @Test func `a next descriptor outside of the indirect table breaks the queue`() throws {
        driver.descriptor(in: 0x9000, 0, Self.data, 1, DriverQueue.Flag.next, next: 2)
        driver.descriptor(0, 0x9000, 32, DriverQueue.Flag.indirect)
        driver.offer(0)
        #expect(try fault() == .nextOutside)
    }

    @Test func `a chain with more bytes than a length can say breaks the queue`() throws {
        let large = try GuestRAM(bytes: 2 << 30)
        let driver = DriverQueue(large, at: 0x1000, size: 8)
        driver.add([.read(0, 0x7fff_f000), .read(0, 0x7fff_f000), .read(0, 0x7fff_f000)])
        var queue = try Queue(driver.layout, in: large, features: .ground)
        var chain = Chain(capacity: 16)
        guard case .broken = queue.next(into: &chain) else { throw UrsaError(.bug, "taken") }
        #expect(queue.fault == .tooManyBytes)
    }

    @Test func `a descriptor that changes after it was taken changes nothing`() throws {
        driver.add([.write(Self.data, 16)])
        var queue = try queue()
        var chain = Chain(capacity: 16)
        guard case .chain = queue.next(into: &chain) else { throw UrsaError(.bug, "no chain") }
        driver.descriptor(7, UInt64.max, UInt32.max, 0)
        expect(chain.writable[0].iov_base == ram.pointer(Self.data, 16) && chain.writable[0].iov_len == 16)
    }

    // MARK: Indices and events

    @Test func `indices go round at 65536`() throws {
        var queue = try queue()
        var chain = Chain(capacity: 16)
        for round in 0..<70_000 {
            let head = try #require(driver.add([.write(Self.data, 4)]))
            guard case .chain = queue.next(into: &chain) else { throw UrsaError(.bug, "no chain in round \(round)") }
            queue.add(chain.head, written: UInt32(round & 0xff))
            queue.publish()
            let used = try #require(driver.takeUsed())
            guard used.head == head, used.written == UInt32(round & 0xff) else {
                throw UrsaError(.bug, "round \(round): \(used)")
            }
        }
        #expect(driver.usedIndex == UInt16(truncatingIfNeeded: 70_000))
    }

    @Test func `an interrupt comes when the used index passes the driver's wish, and not before`() throws {
        var queue = try queue()
        var chain = Chain(capacity: 16)
        func round() -> Bool {
            driver.add([.write(Self.data, 4)])
            guard case .chain = queue.next(into: &chain) else { return false }
            queue.add(chain.head, written: 0)
            queue.publish()
            defer { _ = driver.takeUsed() }
            return queue.wantsInterrupt()
        }
        driver.wantInterrupt(after: 0)
        #expect(round())
        driver.wantInterrupt(after: 3)
        #expect(!round() && !round() && round())
        expect(!queue.wantsInterrupt())
        // Over the end of the numbers.
        for _ in 0..<65_529 { _ = round() }
        driver.wantInterrupt(after: 65_534)
        #expect(!round() && round())
        driver.wantInterrupt(after: 1)
        #expect(!round() && !round() && round())
    }

    @Test func `without event indices the driver's flag stops interrupts`() throws {
        var queue = try queue([.version1])
        var chain = Chain(capacity: 16)
        for (flags, wants) in [(0, true), (1, false), (0, true)] as [(UInt16, Bool)] {
            driver.setAvailableFlags(flags)
            driver.add([.write(Self.data, 4)])
            guard case .chain = queue.next(into: &chain) else { throw UrsaError(.bug, "no chain") }
            queue.add(chain.head, written: 0)
            queue.publish()
            expect(queue.wantsInterrupt() == wants)
            _ = driver.takeUsed()
        }
    }

    @Test func `a notification is asked for by index, and what came meanwhile is seen`() throws {
        var queue = try queue()
        var chain = Chain(capacity: 16)
        expect(!queue.enableNotifications())
        #expect(driver.wantedNotification == 0)
        driver.add([.read(Self.data, 1)])
        driver.add([.read(Self.data, 1)])
        _ = queue.next(into: &chain)
        expect(queue.enableNotifications())
        #expect(driver.wantedNotification == 1)
        _ = queue.next(into: &chain)
        expect(!queue.enableNotifications())
        #expect(driver.wantedNotification == 2)
    }

    @Test func `without event indices a flag asks for notifications`() throws {
        var queue = try queue([.version1])
        queue.disableNotifications()
        #expect(driver.usedFlags == 1)
        expect(!queue.enableNotifications())
        #expect(driver.usedFlags == 0)
    }

    // MARK: Bytes

    @Test func `bytes are read and written over the borders of pieces`() throws {
        #expect(ram.write([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], at: Self.data))
        driver.add([
            .read(Self.data, 3), .read(Self.data + 3, 4), .read(Self.data + 7, 3), .write(Self.data + 100, 2),
            .write(Self.data + 200, 3), .write(Self.data + 300, 1),
        ])
        var queue = try queue()
        var chain = Chain(capacity: 16)
        guard case .chain = queue.next(into: &chain) else { throw UrsaError(.bug, "no chain") }
        expect(chain.read(UInt32.self) == 0x0403_0201)
        expect(chain.skip(1))
        expect(chain.read(UInt64.self) == nil)
        expect(chain.read(UInt32.self) == 0x0908_0706)
        expect(chain.readableBytes == 1)
        guard let status = chain.takeLastWritable() else { throw UrsaError(.bug, "no last byte") }
        expect(UnsafeMutableRawPointer(status) == ram.pointer(Self.data + 300, 1))
        expect(!chain.write([1, 2, 3, 4, 5, 6]))
        expect(chain.write([21, 22, 23]))
        expect(chain.takeLastWritable().map { UnsafeMutableRawPointer($0) } == ram.pointer(Self.data + 202, 1))
        expect(chain.write([24]) && chain.writableBytes == 0 && chain.takeLastWritable() == nil)
        #expect(ram.read(2, at: Self.data + 100) == [21, 22] && ram.read(2, at: Self.data + 200) == [23, 24])
    }
}
