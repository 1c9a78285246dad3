import Glibc
import TestSupport
import Testing
import UrsaBase
import UrsaDisk

@testable import UrsaVMM

/// Disks over real files, driven as a guest's driver would, and looked at by qemu-img afterwards.
@Suite struct BlockTests {
    enum Kind: String, CaseIterable, Sendable { case raw, qcow2, overlay }
    static let cases: [(Kind, RequestQueue.Engine)] = Kind.allCases.flatMap { kind in
        RequestQueue.Engine.allCases.map { (kind, $0) }
    }
    private static let size: UInt64 = 8 << 20

    /// A request on its way through a queue: header, data and status lie in a place of its own.
    struct Place {
        static let length: UInt64 = 0x2_0000
        let address: UInt64
        var header: UInt64 { address }
        var status: UInt64 { address + 16 }
        var data: UInt64 { address + 4096 }
    }

    final class Disk {
        let driven: DrivenDevice
        let device: BlockDevice
        let faults = Locked<[String]>([])

        init(
            _ image: any DiskWriter, readOnly: Bool = false, queues: Int = 1, engine: RequestQueue.Engine? = nil,
            features: (VirtioFeatures) -> VirtioFeatures = { $0 }
        ) throws {
            let faults = faults
            device = try BlockDevice(
                image, readOnly: readOnly, serial: "a-serial-number", queues: queues, engine: engine,
                onFault: { fault in faults.withLock { $0.append(fault.operation.rawValue) } })
            driven = try DrivenDevice(device)
            driven.start(features: features(device.offeredFeatures))
        }

        deinit { driven.transport.resetMachine() }

        func place(_ number: Int) -> Place { Place(address: driven.buffers + Place.length * UInt64(number)) }

        /// Puts a request into the queue; the data's buffers are pieces of the place's.
        func submit(
            _ type: UInt32, sector: UInt64, reads: [Int] = [], writes: [Int] = [], at number: Int = 0, queue: Int = 0
        ) -> UInt16? {
            let place = place(number)
            _ = driven.ram.store(type, place.header)
            _ = driven.ram.store(UInt32(0), place.header + 4)
            _ = driven.ram.store(sector, place.header + 8)
            _ = driven.ram.store(UInt8(0xff), place.status)
            var buffers: [DriverQueue.Buffer] = [.read(place.header, 16)]
            var next = place.data
            for length in reads {
                buffers.append(.read(next, UInt32(length)))
                next += UInt64(length)
            }
            for length in writes {
                buffers.append(.write(next, UInt32(length)))
                next += UInt64(length)
            }
            buffers.append(.write(place.status, 1))
            return driven.queues[queue]?.add(buffers)
        }

        /// One request from beginning to end; the status.
        func run(
            _ type: UInt32, sector: UInt64, reads: [Int] = [], writes: [Int] = [], queue: Int = 0
        ) throws -> (status: UInt8, written: UInt32) {
            guard submit(type, sector: sector, reads: reads, writes: writes, queue: queue) != nil else {
                throw UrsaError(.bug, "the queue is full")
            }
            driven.kick(queue)
            guard let used = driven.queues[queue]?.waitUsed() else { throw UrsaError(.timeout, "no answer") }
            return (driven.ram.load(place(0).status) ?? 0xee, used.written)
        }

        func data(_ count: Int, at number: Int = 0) -> [UInt8] {
            driven.ram.read(count, at: place(number).data) ?? []
        }
        func setData(_ bytes: [UInt8], at number: Int = 0) { _ = driven.ram.write(bytes, at: place(number).data) }
    }

    static func image(_ kind: Kind, _ folder: Scratch, _ model: inout [UInt8]) throws -> any DiskWriter {
        var random = Seeded(7)
        switch kind {
        case .raw:
            let fd = try File.open(folder.file("disk"), O_RDWR | O_CREAT)
            ftruncate(fd.raw, off_t(size))
            return try DiskLayers.openTop(
                DiskLayers.Layer(fd, format: .raw, name: "disk"), over: nil, readOnly: false)
        case .qcow2:
            try Program("qemu-img", ["create", "-q", "-f", "qcow2", folder.file("disk"), "\(size)"]).require("create")
            return try DiskLayers.openTop(
                DiskLayers.Layer(try File.open(folder.file("disk"), O_RDWR), format: .qcow2, name: "disk"), over: nil,
                readOnly: false)
        case .overlay:
            for index in 0..<(model.count / 2) { model[index] = UInt8(truncatingIfNeeded: random.next()) }
            let base = try File.open(folder.file("base"), O_RDWR | O_CREAT)
            try writeAllBytes(base.raw, model, "base")
            try Program(
                "qemu-img",
                ["create", "-q", "-f", "qcow2", "-b", folder.file("base"), "-F", "raw", folder.file("disk")]
            ).require("create")
            let below = try DiskLayers.openBase(
                DiskLayers.Layer(try File.open(folder.file("base"), O_RDONLY), format: .raw, name: "base"))
            return try DiskLayers.openTop(
                DiskLayers.Layer(try File.open(folder.file("disk"), O_RDWR), format: .qcow2, name: "disk"), over: below,
                readOnly: false)
        }
    }

    @Test(.enabled(if: has("qemu-img")), arguments: cases)
    func `many requests at once leave what the model says, and a whole image`(
        kind: Kind, engine: RequestQueue.Engine
    ) throws {
        let folder = try Scratch()
        var model = [UInt8](repeating: 0, count: Int(Self.size))
        var random = Seeded(UInt64(kind.rawValue.utf8.count))
        let disk = try Disk(try Self.image(kind, folder, &model), queues: 2, engine: engine)
        #expect(disk.device.configuration.read(offset: 0, size: 8) == Self.size / 512)
        var busy: [Int: (queue: Int, head: UInt16, range: Range<Int>, isRead: Bool)] = [:]
        func finish() throws {
            for queue in 0..<2 {
                while let used = disk.driven.queues[queue]?.takeUsed() {
                    let slot = try #require(busy.first { $0.value.queue == queue && $0.value.head == used.head })
                    let number = slot.key
                    #expect(disk.driven.ram.load(disk.place(number).status, as: UInt8.self) == 0)
                    if slot.value.isRead {
                        let data = disk.data(slot.value.range.count, at: number)
                        guard model.holds(data, at: slot.value.range.lowerBound) else {
                            throw UrsaError(.bug, "other bytes at \(slot.value.range)")
                        }
                        #expect(used.written == UInt32(slot.value.range.count + 1))
                    }
                    busy[number] = nil
                }
            }
        }
        for _ in 0..<1200 {
            let sectors = 1 + random.below(64)
            let first = random.below(Int(Self.size) / 512 - sectors)
            let range = 512 * first..<512 * (first + sectors)
            let deadline = Deadline.after(seconds: 20)
            while busy.count >= 12 || busy.values.contains(where: { $0.range.overlaps(range) }) {
                try finish()
                guard !deadline.isPast else { throw UrsaError(.timeout, "requests hang") }
            }
            let number = try #require((0..<16).first { busy[$0] == nil })
            let queue = random.below(2)
            // Pieces of odd lengths too: sectors need not fall together with buffers.
            let cut = 1 + random.below(range.count - 1)
            let isRead = random.below(2) == 0
            if !isRead {
                let bytes = (0..<range.count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                model.replaceSubrange(range, with: bytes)
                disk.setData(bytes, at: number)
            }
            let pieces = [cut, range.count - cut]
            let head = try #require(
                disk.submit(
                    isRead ? 0 : 1, sector: UInt64(first), reads: isRead ? [] : pieces, writes: isRead ? pieces : [],
                    at: number, queue: queue))
            busy[number] = (queue, head, range, isRead)
            disk.driven.kick(queue)
        }
        let deadline = Deadline.after(seconds: 20)
        while !busy.isEmpty, !deadline.isPast { try finish() }
        #expect(busy.isEmpty)
        #expect(try disk.run(4, sector: 0).status == 0)
        disk.driven.transport.resetMachine()
        disk.device.close()
        #expect(disk.faults.withLock { $0 }.isEmpty)
        if kind == .raw {
            #expect(try File.read(folder.file("disk"), limit: 16 << 20) == model)
        } else {
            try Program("qemu-img", ["check", "-q", folder.file("disk")]).require("check")
            try Program("qemu-img", ["convert", "-O", "raw", folder.file("disk"), folder.file("raw")]).require(
                "convert")
            #expect(try File.read(folder.file("raw"), limit: 16 << 20) == model)
        }
    }

    private func rawDisk(
        _ folder: Scratch, readOnly: Bool = false, features: (VirtioFeatures) -> VirtioFeatures = { $0 }
    ) throws -> Disk {
        var model = [UInt8](repeating: 0, count: Int(Self.size))
        return try Disk(try Self.image(.raw, folder, &model), readOnly: readOnly, features: features)
    }

    @Test func `the serial number is what was given`() throws {
        let folder = try Scratch()
        let disk = try rawDisk(folder)
        let result = try disk.run(8, sector: 0, writes: [20])
        #expect(result.status == 0 && result.written == 21)
        #expect(disk.data(20) == Array("a-serial-number".utf8) + [0, 0, 0, 0, 0])
        #expect(try disk.run(8, sector: 0, writes: [5]).status == 1)
    }

    @Test func `requests past the end, of half sectors and of unknown kinds are refused`() throws {
        let folder = try Scratch()
        let disk = try rawDisk(folder)
        let last = Self.size / 512 - 1
        for type in [0, 1] as [UInt32] {
            for (sector, length, status) in [
                (last, 512, 0), (last, 1024, 1), (last + 1, 512, 1), (UInt64.max, 512, 1), (UInt64.max / 512, 512, 1),
                (0, 100, 1), (0, 0, 0), (1 << 55, 512, 1),
            ] as [(UInt64, Int, UInt8)] {
                let lengths = length == 0 ? [] : [length]
                let result = try disk.run(
                    type, sector: sector, reads: type == 1 ? lengths : [], writes: type == 0 ? lengths : [])
                #expect(result.status == status, "\(type) at \(sector), \(length) bytes")
            }
        }
        #expect(try disk.run(77, sector: 0).status == 2)
        #expect(!disk.driven.needsReset)
    }

    @Test func `a request without header or status breaks the device, and a reset mends it`() throws {
        let folder = try Scratch()
        let disk = try rawDisk(folder)
        for buffers in [
            [.read(disk.place(0).header, 15), .write(disk.place(0).status, 1)], [.read(disk.place(0).header, 16)],
            [.write(disk.place(0).header, 16)],
        ] as [[DriverQueue.Buffer]] {
            disk.driven.queues[0]?.add(buffers)
            disk.driven.kick(0)
            #expect(disk.driven.wait { disk.driven.needsReset })
            disk.driven.start()
            #expect(try disk.run(0, sector: 0, writes: [512]).status == 0)
        }
    }

    @Test func `zeroing and discarding leave zeros, and nothing else`() throws {
        let folder = try Scratch()
        let disk = try rawDisk(folder)
        disk.setData([UInt8](repeating: 0xaa, count: 65536))
        #expect(try disk.run(1, sector: 0, reads: [65536]).status == 0)
        func segment(_ sector: UInt64, _ count: UInt32, _ flags: UInt32) -> [UInt8] {
            withUnsafeBytes(of: sector.littleEndian, Array.init) + withUnsafeBytes(of: count.littleEndian, Array.init)
                + withUnsafeBytes(of: flags.littleEndian, Array.init)
        }
        disk.setData(segment(8, 8, 0))
        #expect(try disk.run(13, sector: 0, reads: [16]).status == 0)
        disk.setData(segment(24, 8, 1))
        #expect(try disk.run(13, sector: 0, reads: [16]).status == 0)
        disk.setData(segment(40, 8, 0))
        #expect(try disk.run(11, sector: 0, reads: [16]).status == 0)
        for (bytes, type, status) in [
            (segment(8, 8, 1), 11, 2), (segment(8, 8, 2), 13, 2), (segment(UInt64.max, 8, 0), 13, 1),
            (segment(Self.size / 512, 1, 0), 11, 1), (segment(0, UInt32.max, 0), 11, 1),
            (segment(0, 1, 0) + segment(0, 1, 0), 13, 1), ([1, 2, 3], 13, 1), (segment(0, 0, 0), 13, 0),
        ] as [([UInt8], UInt32, UInt8)] {
            disk.setData(bytes)
            #expect(try disk.run(type, sector: 0, reads: [bytes.count]).status == status)
        }
        let file = try File.read(folder.file("disk"), limit: 16 << 20)
        for sector in 0..<128 {
            let isZero = (8..<16).contains(sector) || (24..<32).contains(sector) || (40..<48).contains(sector)
            #expect(Set(file[512 * sector..<512 * (sector + 1)]) == [isZero ? 0 : 0xaa], "sector \(sector)")
        }
    }

    @Test func `a disk that is read only takes no writes`() throws {
        let folder = try Scratch()
        let disk = try rawDisk(folder, readOnly: true)
        #expect(disk.device.offeredFeatures.contains(.Block.readOnly))
        #expect(!disk.device.offeredFeatures.contains(.Block.discard))
        #expect(try disk.run(1, sector: 0, reads: [512]).status == 1)
        #expect(try disk.run(0, sector: 0, writes: [512]).status == 0)
        #expect(try disk.run(4, sector: 0).status == 0)
    }

    @Test func `a driver that does not flush has every write on stable storage`() throws {
        let folder = try Scratch()
        let disk = try rawDisk(folder) { $0.subtracting(.Block.flush) }
        disk.setData([UInt8](repeating: 0x11, count: 4096))
        #expect(try disk.run(1, sector: 8, reads: [4096]).status == 0)
        #expect(try disk.run(0, sector: 8, writes: [4096]).status == 0)
        #expect(disk.data(4096) == [UInt8](repeating: 0x11, count: 4096))
    }

    @Test func `a full host is an error for the guest and a reason for people, and what was flushed is there`() throws {
        guard geteuid() == 0 else { return print("skipped: mounting a small filesystem takes root") }
        let folder = try Scratch()
        try Program("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", folder.path]).require("mount")
        defer { _ = try? Program("umount", ["-l", folder.path]).require("unmount") }
        let disk = try rawDisk(folder)
        disk.setData([UInt8](repeating: 0x77, count: 65536))
        #expect(try disk.run(1, sector: 0, reads: [65536]).status == 0)
        #expect(try disk.run(4, sector: 0).status == 0)
        var failed = 0
        for round in 1..<20 where try disk.run(1, sector: UInt64(round) * 128, reads: [65536]).status == 1 {
            failed += 1
        }
        #expect(failed > 10)
        #expect(disk.faults.withLock { $0.count } == failed)
        #expect(try disk.run(0, sector: 0, writes: [65536]).status == 0)
        #expect(disk.data(65536) == [UInt8](repeating: 0x77, count: 65536))
        #expect(!disk.driven.needsReset)
    }

    @Test func `a reset waits for requests on their way, again and again`() throws {
        let folder = try Scratch()
        let disk = try rawDisk(folder)
        for round in 0..<300 {
            disk.driven.start()
            for number in 0..<8 {
                _ = disk.submit(
                    round % 2 == 0 ? 0 : 1, sector: UInt64(number * 64), reads: round % 2 == 0 ? [] : [32768],
                    writes: round % 2 == 0 ? [32768] : [], at: number)
            }
            disk.driven.kick(0)
            disk.driven.put(0x70, 0)
            // Memory is the driver's again: nothing of the old requests may change it now.
            for number in 0..<8 { disk.setData([UInt8](repeating: 0x5a, count: 32768), at: number) }
            for number in 0..<8 { #expect(Set(disk.data(32768, at: number)) == [0x5a]) }
        }
        disk.driven.start()
        #expect(try disk.run(0, sector: 0, writes: [512]).status == 0)
    }

    @Test(.enabled(if: has("qemu-img")))
    func `an image that runs is locked against QEMU's tools`() throws {
        let folder = try Scratch()
        var model = [UInt8](repeating: 0, count: Int(Self.size))
        let disk = try Disk(try Self.image(.qcow2, folder, &model))
        let result = try Program("qemu-img", ["check", folder.file("disk")]).run(seconds: 20)
        #expect(!result.end.isSuccess && result.errors.contains("lock"))
        #expect(try disk.run(0, sector: 0, writes: [512]).status == 0)
    }
}
