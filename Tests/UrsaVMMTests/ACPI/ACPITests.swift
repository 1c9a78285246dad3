import Testing
import UrsaBase

@testable import UrsaVMM

@Suite struct ACPITests {
    private static func machine(_ processors: Int) -> ACPIMachine {
        var machine = ACPIMachine(processors: processors)
        machine.pciWindow64 = 0x1_4000_0000..<0x9_4000_0000
        machine.virtio = [
            ACPIMachine.Window(address: 0xfe00_0000, gsi: 16), ACPIMachine.Window(address: 0xfe00_1000, gsi: 17),
        ]
        machine.serial = (port: 0x3f8, irq: 4)
        machine.clock = 0x70
        machine.panic = 0x505
        return machine
    }

    /// The tables by signature, found as a guest finds them.
    private static func tables(_ machine: ACPIMachine) throws -> [String: [UInt8]] {
        let start: UInt64 = 0xe0000
        let blob = ACPITables(machine, at: start)
        #expect(blob.bytes.count <= 0x2_0000)
        func sum(_ bytes: some Sequence<UInt8>) -> UInt8 { bytes.reduce(0, &+) }
        #expect(sum(blob.bytes[0..<20]) == 0 && sum(blob.bytes[0..<36]) == 0)
        let fields = Fields(bytes: blob.bytes)
        var found: [String: [UInt8]] = [:]
        func take(_ address: UInt64) throws -> [UInt8] {
            let at = Int(address - start)
            let length = Int(try #require(fields.load(at + 4, as: UInt32.self)))
            let table = Array(blob.bytes[at..<(at + length)])
            #expect(sum(table) == 0)
            found[String(decoding: table[0..<4], as: UTF8.self)] = table
            return table
        }
        let xsdt = try take(try #require(fields.load(24, as: UInt64.self)))
        for at in stride(from: 36, to: xsdt.count, by: 8) {
            let table = try take(try #require(Fields(bytes: xsdt).load(at, as: UInt64.self)))
            if table.starts(with: Array("FACP".utf8)) {
                _ = try take(try #require(Fields(bytes: table).load(140, as: UInt64.self)))
            }
        }
        return found
    }

    @Test func `all tables can be reached from the root, and add up`() throws {
        let tables = try Self.tables(Self.machine(3))
        #expect(Set(tables.keys) == ["XSDT", "FACP", "APIC", "MCFG", "DSDT"])
        // Three local APICs of 8 bytes, an IOAPIC, an NMI.
        let length = 44 + 3 * 8 + 12 + 6
        #expect(tables["APIC"]?.count == length)
        #expect(tables["FACP"]?.count == 276)
        var lean = ACPIMachine(processors: 1)
        lean.virtio = []
        #expect(try Self.tables(lean).keys.contains("MCFG") == false)
    }

    @Test(.enabled(if: has("iasl"), "needs iasl of the package acpica-tools"), arguments: [1, 2, 64, 254])
    func `the reference compiler reads them, and what it wrote compiles to the same`(_ processors: Int) throws {
        let scratch = try Scratch()
        for (name, bytes) in try Self.tables(Self.machine(processors)) {
            let file = scratch.file("\(name).aml")
            try File.replace(file, bytes)
            try Program("iasl", ["-d", file]).require("disassemble \(name)")
            let text = try File.readText(scratch.file("\(name).dsl"))
            let faults = text.split(separator: "\n").filter { $0.contains("Invalid") || $0.contains("Unknown") }
            #expect(faults.isEmpty, "\(name)")
            guard name == "DSDT" else { continue }
            for word in [
                "PNP0A08", "PNP0501", "QEMU0001", "LNRO0005", "ACPI0013", "Notify (\\_SB.PWRB, 0x80)", "Name (\\_S5, ",
            ] {
                #expect(text.contains(word), "\(word)")
            }
            let output = try Program("iasl", ["-oa", "-p", scratch.file("again"), scratch.file("\(name).dsl")]).run()
            let words = String(decoding: output.output, as: UTF8.self)
            #expect(words.contains("0 Errors") || words.contains("Compilation successful"), "\(words)")
            // Everything after the header with the compiler's own name.
            #expect(try File.read(scratch.file("again.aml")).dropFirst(36) == bytes.dropFirst(36))
        }
    }

    @Test func `lengths of packages are as short as they can be`() {
        for count in [0, 1, 60, 61, 62, 63, 64, 4090, 4094, 4095, 70000] {
            let term = AML.buffer([UInt8](repeating: 7, count: count))
            // Opcode, then the length of everything after the opcode.
            let lead = term[1]
            let extra = Int(lead >> 6)
            var length = extra == 0 ? Int(lead & 0x3f) : Int(lead & 0xf)
            for index in 0..<extra { length |= Int(term[2 + index]) << (4 + 8 * index) }
            #expect(length == term.count - 1, "\(count)")
        }
    }
}
