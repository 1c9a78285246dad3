import CLinux
import Testing
import UrsaBase

@testable import UrsaVMM

/// A virtio device behind PCI, found and driven as a kernel does it.
@Suite struct PCITests {
    private let ram: GuestRAM
    private let memory = Bus()
    private let ports = Bus()
    private let devices: VirtioDevices
    private let ecam = AddressMap.pciConfiguration.lowerBound

    init() throws {
        ram = try GuestRAM(bytes: 4 << 20)
        devices = try VirtioDevices(
            .pci, ram: ram, memory: memory, ports: ports, interrupts: try InterruptController(nil),
            doorbells: Doorbells(nil), log: { _ in })
        try devices.attach(EntropyDevice(), slot: 0x1a)
    }

    private func config(_ offset: UInt64, _ size: Int = 4, slot: UInt64 = 0x1a) -> UInt64 {
        memory.read(ecam + slot << 15 + offset, size: size)
    }
    private func setConfig(_ offset: UInt64, _ value: UInt64, _ size: Int = 4, slot: UInt64 = 0x1a) {
        memory.write(ecam + slot << 15 + offset, size: size, value: value)
    }

    /// Offset of each capability by id, in order; virtio's own by 0x100 + kind.
    private func capabilities() -> [UInt64: UInt64] {
        var result: [UInt64: UInt64] = [:]
        var place = config(0x34, 1)
        while place != 0, result.count < 48 {
            let id = config(place, 1)
            result[id == 9 ? 0x100 + config(place + 3, 1) : id] = place
            place = config(place + 1, 1)
        }
        return result
    }

    @Test func `the guest finds a bridge, the device and nothing else`() {
        for slot in 0..<32 as Range<UInt64> {
            let identity = config(0, 4, slot: slot)
            switch slot {
            case 0: #expect(identity == 0x0008_1b36)
            case 0x1a: #expect(identity == 0x1044_1af4)
            default: #expect(identity & 0xffff_ffff == 0xffff_ffff)
            }
        }
        #expect(memory.read(ecam + 0x1a << 15 + 1 << 12, size: 4) & 0xffff_ffff == 0xffff_ffff, "one function")
        #expect(config(0x100) == 0, "no extended capabilities")
        #expect(config(0x2c) == 0x0044_1af4)
    }

    @Test func `a bus and the functions that were mapped on it go when nobody holds them`() throws {
        weak var last: Bus?
        func round() throws {
            let memory = Bus()
            last = memory
            let devices = try VirtioDevices(
                .pci, ram: ram, memory: memory, ports: nil, interrupts: try InterruptController(nil),
                doorbells: Doorbells(nil), log: { _ in })
            try devices.attach(EntropyDevice(), slot: 3)
            memory.write(ecam + 3 << 15 + 4, size: 2, value: 2)
            #expect(memory.listing.count == 2, "the range is mapped")
            devices.close()
        }
        try round()
        // Not the object itself: a report would follow its references to what is gone.
        let isGone = last == nil
        #expect(isGone)
    }

    @Test func `both ways to the configuration space show the same`() {
        for offset in stride(from: UInt64(0), to: 256, by: 4) {
            ports.write(0xcf8, size: 4, value: 0x8000_0000 | 0x1a << 11 | offset)
            #expect(ports.read(0xcfc, size: 4) == config(offset))
            #expect(ports.read(0xcfd, size: 1) == config(offset + 1, 1))
        }
        #expect(ports.read(0xcf8, size: 4) == 0x8000_0000 | 0x1a << 11 | 252)
        ports.write(0xcf8, size: 4, value: 0x8001_0000)
        #expect(ports.read(0xcfc, size: 4) & 0xffff_ffff == 0xffff_ffff, "no other bus")
    }

    @Test func `a range says its size, and appears where it is put`() {
        let first = config(0x10)
        #expect(AddressMap.pciWindow32.contains(first) && first % 0x8000 == 0)
        #expect(memory.read(first, size: 4) == .max, "not before memory is enabled")
        setConfig(0x10, 0xffff_ffff)
        #expect(config(0x10) == 0xffff_8000)
        setConfig(0x10, first)
        setConfig(4, 2, 2)
        #expect(memory.read(first + 18, size: 2) == 1)
        setConfig(0x10, first + 0x10_0000)
        #expect(memory.read(first + 18, size: 2) == .max && memory.read(first + 0x10_0000 + 18, size: 2) == 1)
        // Over memory, over configuration space, past the end: it is nowhere.
        for address in [0, 0x10_0000, ecam, 0xffff_8000, 0xfee0_0000] as [UInt64] {
            setConfig(0x10, address)
            #expect(memory.listing.filter { $0.name == "virtio-entropy" }.isEmpty)
        }
        setConfig(0x10, first)
        #expect(memory.read(first + 18, size: 2) == 1)
    }

    @Test func `two ranges at one place don't hurt each other`() throws {
        try devices.attach(EntropyDevice(), slot: 5)
        let first = config(0x10)
        setConfig(4, 2, 2)
        setConfig(0x10, first, slot: 5)
        setConfig(4, 2, 2, slot: 5)
        #expect(memory.listing.filter { $0.start == first }.count == 1)
        setConfig(0x10, first + 0x10_0000)
        setConfig(0x10, first, slot: 5)
        #expect(memory.listing.count == 3)
    }

    @Test func `what is read only stays`() {
        let before = (0..<64 as Range<UInt64>).map { config(4 * $0) }
        for offset in 0..<256 as Range<UInt64> where !(0x10..<0x14).contains(offset) { setConfig(offset, 0xff, 1) }
        let writable = capabilities()[0x105] ?? 0
        for offset in stride(from: UInt64(0), to: 256, by: 4) where offset < writable || offset >= writable + 20 {
            let after = config(offset)
            switch offset {
            case 4: #expect(after == before[1] | 0x0406)
            case capabilities()[0x11]: #expect(after == before[Int(offset / 4)] | 0xc000_0000)
            default: #expect(after == before[Int(offset / 4)], "at \(offset)")
            }
        }
    }

    @Test func `a driver sets the device up by its structures and gets bytes and a message`() throws {
        let caps = capabilities()
        #expect(Set(caps.keys) == [0x11, 0x101, 0x102, 0x103, 0x104, 0x105])
        setConfig(4, 6, 2)
        let base = config(0x10)
        let common = base + config(try #require(caps[0x101]) + 8)
        let notify = base + config(try #require(caps[0x102]) + 8)
        let table = base + config(try #require(caps[0x11]) + 4)
        // MSI-X: vector 1 to processor 0, unmasked; vector 0 stays masked.
        setConfig(try #require(caps[0x11]) + 2, 0x8000, 2)
        #expect(config(try #require(caps[0x11]) + 2, 2) & 0x7ff == 1)
        memory.write(table + 16, size: 4, value: 0xfee0_0000)
        memory.write(table + 24, size: 4, value: 0x41)
        memory.write(table + 28, size: 4, value: 0)
        for value in [1, 3] as [UInt64] { memory.write(common + 20, size: 1, value: value) }
        memory.write(common, size: 4, value: 1)
        #expect(memory.read(common + 4, size: 4) == 1)
        memory.write(common + 8, size: 4, value: 1)
        memory.write(common + 12, size: 4, value: 1)
        memory.write(common + 20, size: 1, value: 11)
        #expect(memory.read(common + 20, size: 1) == 11)
        let queue = DriverQueue(ram, at: 0x1000, size: 16)
        memory.write(common + 22, size: 2, value: 0)
        memory.write(common + 24, size: 2, value: 16)
        memory.write(common + 26, size: 2, value: 9)
        #expect(memory.read(common + 26, size: 2) == 0xffff, "there is no vector 9")
        memory.write(common + 26, size: 2, value: 1)
        #expect(memory.read(common + 26, size: 2) == 1)
        memory.write(common + 32, size: 4, value: queue.layout.descriptors)
        memory.write(common + 40, size: 4, value: queue.layout.available)
        memory.write(common + 48, size: 8, value: queue.layout.used)
        memory.write(common + 28, size: 2, value: 1)
        #expect(memory.read(common + 28, size: 2) == 1)
        memory.write(common + 20, size: 1, value: 15)
        queue.add([.write(0x8_0000, 64)])
        memory.write(notify + 4 * memory.read(common + 30, size: 2), size: 2, value: 0)
        #expect(queue.waitUsed()?.written == 64)
        // The message went into its eventfd; masking it makes the next one pending.
        memory.write(table + 28, size: 4, value: 1)
        queue.add([.write(0x8_0000, 64)])
        memory.write(notify, size: 2, value: 0)
        #expect(queue.waitUsed()?.written == 64)
        let deadline = Deadline.after(seconds: 5)
        while memory.read(base + 0x5000, size: 8) != 2, !deadline.isPast { pause(milliseconds: 1) }
        #expect(memory.read(base + 0x5000, size: 8) == 2)
        devices.reset()
        #expect(config(4, 2) == 0 && config(0x10) == base)
    }

    @Test func `firmware reaches the registers by the window in configuration space`() throws {
        let window = try #require(capabilities()[0x105])
        setConfig(window + 8, 18)
        setConfig(window + 12, 2)
        #expect(config(window + 16, 4) & 0xffff == 1, "one queue")
        setConfig(window + 8, 20)
        setConfig(window + 12, 1)
        setConfig(window + 16, 1)
        #expect(config(window + 16, 1) == 1, "acknowledged")
        // Places and lengths that make no sense lead nowhere.
        for (place, length) in [(0x7fff, 2), (0xffff_ffff, 4), (0x8000, 1), (1, 4), (0, 3), (0, 0xffff_ffff)]
            as [(UInt64, UInt64)]
        {
            setConfig(window + 8, place)
            setConfig(window + 12, length)
            setConfig(window + 16, 0x5555_5555)
            _ = config(window + 16)
        }
        setConfig(window + 4, 1, 1)
        _ = config(window + 16)
    }

    @Test func `every access of every size to every place is borne`() {
        setConfig(4, 2, 2)
        let base = config(0x10)
        for offset in 0..<0x8000 as Range<UInt64> where offset < 0x60 || offset % 61 == 0 || offset & 0xfff < 0x30 {
            for size in [1, 2, 4, 8] {
                _ = memory.read(base + offset, size: size)
                memory.write(base + offset, size: size, value: UInt64.max >> UInt64(64 - 8 * size))
            }
        }
        devices.reset()
        setConfig(4, 2, 2)
        #expect(memory.read(config(0x10) + 18, size: 2) == 1)
    }
}
