import Testing
import UrsaBase

@testable import UrsaVMM

@Suite struct BootTablesTests {
    private func kernel(_ entry: LoadedKernel.Entry) -> LoadedKernel {
        LoadedKernel(
            entry: entry, range: 0x100_0000..<0x200_0000, setupHeader: nil, highestInitrdByte: 0x37ff_ffff,
            longestCommandLine: 100)
    }

    private func write(
        _ entry: LoadedKernel.Entry, memory: UInt64, initrd: [UInt8], commandLine: String = "quiet"
    ) throws -> GuestRAM {
        let ram = try GuestRAM(bytes: memory)
        let file = try memoryFile(initrd)
        try BootTables.write(
            kernel(entry), initrd: file.raw, commandLine: commandLine, map: MemoryMap(ram, hasPCI: true), rsdp: 0xe0000,
            into: ram)
        return ram
    }

    @Test func `the zero page tells command line, ram disk, tables and memory`() throws {
        let disk = (0..<9000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let ram = try write(.linux64(0x100_0000), memory: 5 << 30, initrd: disk)
        let page = BootPlace.zeroPage
        #expect(
            ram.load(page + 0x228, as: UInt32.self).flatMap { ram.read(6, at: UInt64($0)) } == Array("quiet\0".utf8))
        let address = try #require(ram.load(page + 0x218, as: UInt32.self))
        // As high as the kernel reaches, below the end of what it said.
        #expect(address == 0x3800_0000 - 12288)
        #expect(ram.load(page + 0x21c, as: UInt32.self) == 9000)
        #expect(ram.read(9000, at: UInt64(address)) == disk)
        #expect(ram.load(page + 0x70, as: UInt64.self) == 0xe0000)
        let count = try #require(ram.load(page + 0x1e8, as: UInt8.self))
        var memory: UInt64 = 0
        var end: UInt64 = 0
        for index in 0..<UInt64(count) {
            let start = try #require(ram.load(page + 0x2d0 + index * 20, as: UInt64.self))
            let size = try #require(ram.load(page + 0x2d8 + index * 20, as: UInt64.self))
            #expect(start >= end, "ranges are in order and do not overlap")
            end = start + size
            if ram.load(page + 0x2e0 + index * 20, as: UInt32.self) == 1 { memory += size }
        }
        #expect(memory == (5 << 30) - (1 << 20) + 0x9fc00)
        #expect(end == 6 << 30)
    }

    @Test func `the start info of PVH tells the same`() throws {
        let ram = try write(.pvh(0x100_0000), memory: 64 << 20, initrd: [1, 2, 3])
        let info = BootPlace.startInfo
        #expect(ram.load(info, as: UInt32.self) == 0x336e_c578)
        #expect(ram.load(info + 12, as: UInt32.self) == 1)
        let module = try #require(ram.load(info + 16, as: UInt64.self))
        let disk = try #require(ram.load(module, as: UInt64.self))
        #expect(ram.read(3, at: disk) == [1, 2, 3] && ram.load(module + 8, as: UInt64.self) == 3)
        #expect(ram.load(info + 32, as: UInt64.self) == 0xe0000)
        #expect(ram.load(info + 48, as: UInt32.self) == UInt32(MemoryMap(ram, hasPCI: true).entries.count))
    }

    @Test func `what does not fit is refused in words`() throws {
        func refusal(_ body: () throws -> Void) -> String {
            do { try body() } catch { return "\(error)" }
            return "accepted"
        }
        #expect(
            refusal {
                _ = try write(.linux64(0x100_0000), memory: 34 << 20, initrd: [UInt8](repeating: 1, count: 3 << 20))
            }
            .contains("ram disk of 3M does not fit"))
        #expect(
            refusal {
                _ = try write(
                    .linux64(0x100_0000), memory: 64 << 20, initrd: [1], commandLine: String(repeating: "a", count: 101)
                )
            }.contains("takes 100"))
        #expect(
            refusal { _ = try write(.linux64(0x100_0000), memory: 64 << 20, initrd: [1], commandLine: "a\nb") }
                .contains("control character"))
    }
}
