import Glibc
import TestSupport
import Testing
import UrsaBase

@testable import UrsaVMM

@Suite struct KernelImageTests {
    private func load(_ bytes: [UInt8], into ram: GuestRAM) throws -> LoadedKernel {
        let file = try memoryFile(bytes)
        return try KernelImage.load(fd: file.raw, into: ram)
    }

    private func refusal(_ bytes: [UInt8], memory: UInt64 = 32 << 20) throws -> String {
        do {
            _ = try load(bytes, into: GuestRAM(bytes: memory))
        } catch let error as UrsaError {
            #expect(error.code != .bug)
            return error.description
        }
        Issue.record("the kernel was accepted")
        return ""
    }

    @Test func `an ELF kernel lies where its headers say and is entered in long mode`() throws {
        var tiny = TinyKernel()
        tiny.print("hello")
        let ram = try GuestRAM(bytes: 32 << 20)
        let kernel = try load(tiny.elf, into: ram)
        #expect(kernel.entry == .linux64(TinyKernel.address))
        #expect(ram.read(tiny.code.count, at: TinyKernel.address) == tiny.code)
        #expect(kernel.range == TinyKernel.address..<(TinyKernel.address + UInt64(tiny.code.count) + tiny.blank))
    }

    @Test func `a kernel with a note for PVH is entered by it, but Linux is not`() throws {
        var tiny = TinyKernel()
        tiny.rest()
        var note: [UInt8] = []
        note.append(little: UInt32(TinyKernel.address))
        tiny.notes = [("Xen", 6, Array("xenix\0".utf8)), ("Xen", 18, note)]
        #expect(try load(tiny.elf, into: GuestRAM(bytes: 32 << 20)).entry == .pvh(TinyKernel.address))
        tiny.notes[0].content = Array("linux\0".utf8)
        #expect(try load(tiny.elf, into: GuestRAM(bytes: 32 << 20)).entry == .linux64(TinyKernel.address))
    }

    @Test func `what is no kernel is refused in words`() throws {
        #expect(try refusal(Array("#!/bin/sh\n".utf8)).contains("neither an ELF file nor a bzImage"))
        #expect(try refusal([0x7f, 0x45, 0x4c, 0x46]).contains("shorter than an ELF header"))
        var tiny = TinyKernel()
        tiny.rest()
        let good = tiny.elf
        #expect(try refusal(good, memory: 16 << 20).contains("has no memory"))
        var far = good
        far.put(UInt64.max - 4096, at: 64 + 24)
        #expect(try refusal(far).contains("has no memory"))
        var low = good
        low.put(UInt64(0x1000), at: 64 + 24)
        #expect(try refusal(low).contains("has no memory"))
        var large = good
        large.put(UInt64.max, at: 64 + 32)
        #expect(try refusal(large).contains("ends within a segment"))
        var entry = good
        entry.put(UInt64(0x20_0000), at: 24)
        #expect(try refusal(entry).contains("outside of what it loads"))
        var table = good
        table.put(UInt64.max - 10, at: 32)
        #expect(try refusal(table).contains("program headers"))
        var arm = good
        arm.put(UInt16(183), at: 18)
        #expect(try refusal(arm).contains("x86-64"))
        for length in stride(from: 0, to: good.count, by: 7) {
            if length == 0 { continue }
            _ = try? load(Array(good.prefix(length)), into: GuestRAM(bytes: 32 << 20))
        }
    }

    /// A bzImage around a payload, with boot protocol 2.15.
    static func bzImage(_ payload: [UInt8], initSize: UInt32 = 1 << 20) -> [UInt8] {
        var file = [UInt8](repeating: 0, count: 1024)
        file[0x1f1] = 1
        file.put(UInt16(0xaa55), at: 0x1fe)
        file[0x200] = 0xeb
        file[0x201] = 0x66
        file.put(CompressedImage.magic, at: 0x202)
        file.put(UInt16(0x20f), at: 0x206)
        file.put(UInt16(0x100), at: 0x20e)
        file[0x211] = 1
        file.put(UInt32(0x7fff_ffff), at: 0x22c)
        file.put(UInt32(0x20_0000), at: 0x230)
        file.put(UInt16(1), at: 0x236)
        file.put(UInt32(2047), at: 0x238)
        file.put(UInt32(0x400), at: 0x248)
        file.put(UInt32(payload.count), at: 0x24c)
        file.put(UInt64(0x100_0000), at: 0x258)
        file.put(initSize, at: 0x260)
        file.replaceSubrange(0x300..<0x305, with: Array("6.1.0".utf8))
        return file + [UInt8](repeating: 0x90, count: 0x400) + payload
    }

    @Test func `a bzImage whose payload is not known here unpacks itself`() throws {
        let ram = try GuestRAM(bytes: 32 << 20)
        let payload = [UInt8](repeating: 0x55, count: 5000)
        let kernel = try load(Self.bzImage(payload), into: ram)
        #expect(kernel.entry == .linux64(0x100_0200))
        #expect(kernel.range == 0x100_0000..<0x110_0000)
        #expect(ram.read(5000, at: 0x100_0400) == payload)
        #expect(kernel.setupHeader?.count == 0x268 - 0x1f1)
    }

    @Test(.enabled(if: has("lz4"), "needs lz4"))
    func `a bzImage packed by lz4 is unpacked to where its ELF file belongs`() throws {
        var tiny = TinyKernel()
        for number in 0..<3000 { tiny.print(number % 7 == 0 ? "ab" : "\(number)") }
        var packed = try Program("lz4", ["-l", "-9", "-c", "-"]).run(input: tiny.elf).output
        packed.append(little: UInt32(tiny.elf.count))
        let ram = try GuestRAM(bytes: 32 << 20)
        let kernel = try load(Self.bzImage(packed), into: ram)
        #expect(kernel.entry == .linux64(TinyKernel.address))
        #expect(ram.read(tiny.code.count, at: TinyKernel.address) == tiny.code)
    }

    @Test(.enabled(if: has("lz4"), "needs lz4"), arguments: [0, 1, 12, 13, 100, 70_000, 9 << 20])
    func `blocks of lz4 come out as they went in`(_ count: Int) throws {
        var random = Seeded(UInt64(count))
        var plain: [UInt8] = []
        while plain.count < count {
            let byte = UInt8(random.below(256))
            plain +=
                random.below(3) == 0
                ? [UInt8](repeating: byte, count: random.below(600))
                : (0..<random.below(40)).map { _ in UInt8(random.below(256)) }
            if plain.count > 5000, random.below(4) == 0 { plain += plain[(plain.count - 4000)..<(plain.count - 100)] }
        }
        plain.removeLast(plain.count - count)
        let packed = try Program("lz4", ["-l", "-c", "-"]).run(input: plain, limit: 64 << 20).output
        var result: [UInt8] = []
        var block = [UInt8](repeating: 0, count: LZ4.blockSize)
        var at = 4
        while at < packed.count {
            let size = Int(try #require(Fields(bytes: Array(packed[at..<(at + 4)])).load(0, as: UInt32.self)))
            let written = try #require(
                packed[(at + 4)..<(at + 4 + size)].withUnsafeBytes { source in
                    block.withUnsafeMutableBytes { LZ4.unpack(source, into: $0) }
                })
            result += block[0..<written]
            at += 4 + size
        }
        #expect(result == plain)
    }

    @Test(arguments: 1...33)
    func `a match that is nearer than it is long repeats what it makes`(_ distance: Int) {
        let period = (0..<distance).map { UInt8($0 + 1) }
        let end = [UInt8](repeating: 0xee, count: 5)
        func rest(_ length: Int) -> [UInt8] {
            length < 15 ? [] : [UInt8](repeating: 255, count: (length - 15) / 255) + [UInt8((length - 15) % 255)]
        }
        for count in [4, 15, 16, 17, 18, 33, 300] {
            // Literals and a match, then five literals as a block ends.
            var block = [UInt8(min(15, distance) << 4 | min(15, count - 4))] + rest(distance) + period
            block += [UInt8(distance), 0] + rest(count - 4) + [UInt8(end.count << 4)] + end
            let plain = (0..<(distance + count)).map { period[$0 % distance] } + end
            // Where there is no room behind the match, nothing is written there.
            for room in [0, 1, 100] {
                var target = [UInt8](repeating: 0x77, count: plain.count + room)
                let written = block.withUnsafeBytes { source in
                    target.withUnsafeMutableBytes { LZ4.unpack(source, into: $0) }
                }
                #expect(written == plain.count && target.starts(with: plain), "\(count) bytes, room for \(room)")
            }
        }
    }

    @Test func `a moved kernel differs only at the listed places, by one distance`() throws {
        let size: UInt64 = 4 << 20
        let ram = try GuestRAM(bytes: 32 << 20)
        var image = [UInt8](repeating: 0, count: Int(size))
        var lists: [UInt8] = []
        func list(_ places: [UInt64]) {
            lists.append(little: UInt32(0))
            for place in places { lists.append(little: UInt32(truncatingIfNeeded: place &+ 0xffff_ffff_8000_0000)) }
        }
        let wide = (0..<100).map { 0x100_0000 + UInt64($0) * 64 }
        let inverse = (0..<10).map { 0x110_0000 + UInt64($0) * 64 }
        let narrow = (0..<5000).map { 0x120_0000 + UInt64($0) * 64 }
        list(wide)
        list(inverse)
        list(narrow)
        for (index, place) in narrow.enumerated() {
            image.put(UInt32(0x8100_0000 + index), at: Int(place - 0x100_0000))
        }
        #expect(ram.write(image, at: 0x100_0000))
        let range: Range<UInt64> = 0x100_0000..<(0x100_0000 + size)
        #expect(KernelMove.moveAtRandom(range, lists: lists, alignment: 0x20_0000, hasInverse: true, in: ram))
        let delta = try #require(ram.load(wide[0], as: UInt64.self))
        #expect(delta % 0x20_0000 == 0 && delta + size + 0x100_0000 <= 1 << 30)
        for place in wide { #expect(ram.load(place, as: UInt64.self) == delta) }
        for place in inverse { #expect(ram.load(place, as: UInt32.self) == 0 &- UInt32(delta)) }
        for (index, place) in narrow.enumerated() {
            #expect(ram.load(place, as: UInt32.self) == UInt32(0x8100_0000 + index) &+ UInt32(delta))
        }
        let after = try #require(ram.read(Int(size), at: 0x100_0000))
        // Lists that name places outside of the kernel change nothing.
        list([0x50_0000])
        #expect(!KernelMove.moveAtRandom(range, lists: lists, alignment: 0x20_0000, hasInverse: true, in: ram))
        #expect(ram.read(Int(size), at: 0x100_0000) == after)
    }
}
