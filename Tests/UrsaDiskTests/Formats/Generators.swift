import TestSupport
import Testing
import UrsaBase

@testable import UrsaDisk

/// Bytes put together field by field.
struct ByteBuilder {
    var bytes: [UInt8] = []

    mutating func big<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.bigEndian) { bytes += $0 } }
    mutating func little<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
    mutating func text(_ text: String) { bytes += text.utf8 }
    /// Zeros up to this length.
    mutating func pad(to length: Int) { bytes += [UInt8](repeating: 0, count: max(0, length - bytes.count)) }
}

/// Runs a typed closure with the bytes of an array; the standard library's own forget the error's type.
func deflated(_ bytes: [UInt8], _ form: DeflateForm = .zlib) throws -> [UInt8] {
    var output = [UInt8](repeating: 0, count: bytes.count + bytes.count / 100 + 100)
    let deflater = try Deflater(level: 6)
    let count = output.withUnsafeMutableBytes { output in
        bytes.withUnsafeBytes { deflater.deflate($0, into: output, form: form) }
    }
    return Array(output.prefix(try #require(count)))
}

func bzip2ed(_ bytes: [UInt8]) throws -> [UInt8] {
    try Program("bzip2", ["-c"]).run(input: bytes).output
}

/// Apple Data Compression by the simplest means: runs of one byte, literals for the rest.
func adc(_ bytes: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    var index = 0
    while index < bytes.count {
        var run = 1
        while index + run < bytes.count, bytes[index + run] == bytes[index], run < 68 { run += 1 }
        if run >= 6 {
            output += [0x80, bytes[index]]
            // The first byte as a literal, the others as a copy from one back.
            if (run - 1) < 19 {
                output += [UInt8(run - 1 - 3) << 2, 0]
            } else {
                output += [0x40 | UInt8(run - 1 - 4), 0, 0]
            }
            index += run
        } else {
            let literal = min(128, max(run, 1), bytes.count - index)
            output.append(0x80 | UInt8(literal - 1))
            output += bytes[index..<index + literal]
            index += literal
        }
    }
    return output
}

/// Writes images that qemu-img can only read.
enum Generate {
    enum Piece: CaseIterable { case zero, ignored, stored, zlib, bzip2, xz, adc }

    /// A dmg of two partitions over `disk`, its tables in a property list or in a resource fork.
    static func dmg(_ disk: [UInt8], pieces: [Piece], random: inout Seeded, fork: Bool = false) throws -> [UInt8] {
        var file = ByteBuilder()
        // The data does not begin at the file's first byte.
        file.pad(to: 100)
        let start = file.bytes.count
        let sectors = disk.count / 512
        let border = Int.random(in: 0...sectors, using: &random)
        var tables: [[UInt8]] = []
        for range in [0..<border, border..<sectors] where !range.isEmpty {
            var entries = ByteBuilder()
            var count: UInt32 = 0
            let base = file.bytes.count - start
            var sector = range.lowerBound
            func entry(_ kind: UInt32, _ first: Int, _ length: Int, _ offset: Int, _ bytes: Int) {
                entries.big(kind)
                entries.big(UInt32(0))
                entries.big(UInt64(first - range.lowerBound))
                entries.big(UInt64(length))
                entries.big(UInt64(offset - base))
                entries.big(UInt64(bytes))
                count += 1
            }
            while sector < range.upperBound {
                let length = min(range.upperBound - sector, Int.random(in: 1...300, using: &random))
                let bytes = Array(disk[sector * 512..<(sector + length) * 512])
                let isZero = bytes.allSatisfy { $0 == 0 }
                let place = file.bytes.count - start
                var kind: UInt32
                switch try #require(pieces.randomElement(using: &random)) {
                case .zero where isZero: kind = 0
                case .ignored where isZero: kind = 2
                case .zero, .ignored, .stored:
                    kind = 1
                    file.bytes += bytes
                case .zlib:
                    kind = 0x8000_0005
                    file.bytes += try deflated(bytes)
                case .bzip2:
                    kind = 0x8000_0006
                    file.bytes += try bzip2ed(bytes)
                case .xz:
                    kind = 0x8000_0008
                    file.bytes += try Program("xz", ["-c", "-2"]).run(input: bytes).output
                case .adc:
                    kind = 0x8000_0004
                    file.bytes += UrsaDiskTests.adc(bytes)
                }
                entry(kind, sector, length, place, file.bytes.count - start - place)
                if random.next() % 8 == 0 { entry(0x7fff_fffe, sector + length, 0, place, 0) }
                sector += length
            }
            entry(0xffff_ffff, sector, 0, file.bytes.count - start, 0)
            var table = ByteBuilder()
            table.text("mish")
            table.big(UInt32(1))
            table.big(UInt64(range.lowerBound))
            table.big(UInt64(range.count))
            table.big(UInt64(base))
            table.big(UInt32(520))
            table.big(UInt32(0))
            table.pad(to: 200)
            table.big(count)
            tables.append(table.bytes + entries.bytes)
        }
        let place = file.bytes.count
        file.bytes += fork ? resourceFork(tables) : propertyList(tables)
        let length = file.bytes.count - place
        var trailer = ByteBuilder()
        trailer.text("koly")
        trailer.big(UInt32(4))
        trailer.big(UInt32(512))
        trailer.big(UInt32(1))
        trailer.big(UInt64(0))
        trailer.big(UInt64(start))
        trailer.big(UInt64(place - start))
        trailer.big(UInt64(fork ? place : 0))
        trailer.big(UInt64(fork ? length : 0))
        trailer.big(UInt32(1))
        trailer.big(UInt32(1))
        trailer.pad(to: 0xd8)
        trailer.big(UInt64(fork ? 0 : place))
        trailer.big(UInt64(fork ? 0 : length))
        trailer.pad(to: 0x1ec)
        trailer.big(UInt64(sectors))
        trailer.pad(to: 512)
        return file.bytes + trailer.bytes
    }

    private static func propertyList(_ tables: [[UInt8]]) -> [UInt8] {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text =
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">\n<dict>\n<key>blkx</key>\n<array>\n"
        for table in tables {
            var encoded: [UInt8] = []
            for start in stride(from: 0, to: table.count, by: 3) {
                let group = table[start..<min(start + 3, table.count)]
                let value = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
                let characters = [18, 12, 6, 0].map { digits[value >> $0 & 63] }
                encoded += characters.prefix(group.count + 1) + [UInt8](repeating: 61, count: 3 - group.count)
                if start % 51 == 48 { encoded += Array("\n\t\t\t".utf8) }
            }
            text += "<dict><key>Data</key>\n<data>\n\t\t\t\(String(decoding: encoded, as: UTF8.self))\n</data></dict>\n"
        }
        return Array((text + "</array>\n<key>plst</key><data>AAAA</data></dict>\n</plist>\n").utf8)
    }

    private static func resourceFork(_ tables: [[UInt8]]) -> [UInt8] {
        var data = ByteBuilder()
        for table in tables + [[1, 2, 3]] {
            data.big(UInt32(table.count))
            data.bytes += table
        }
        var fork = ByteBuilder()
        fork.big(UInt32(256))
        fork.big(UInt32(256 + data.bytes.count))
        fork.big(UInt32(data.bytes.count))
        fork.big(UInt32(30))
        fork.pad(to: 256)
        return fork.bytes + data.bytes + [UInt8](repeating: 0, count: 30)
    }

    /// A cloop image; the disk is filled up to whole blocks.
    static func cloop(_ disk: [UInt8], block: Int) throws -> [UInt8] {
        var header = ByteBuilder()
        header.text("#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n")
        header.pad(to: 128)
        header.big(UInt32(block))
        let count = (disk.count + block - 1) / block
        header.big(UInt32(count))
        var data: [UInt8] = []
        let start = 136 + (count + 1) * 8
        for index in 0..<count {
            header.big(UInt64(start + data.count))
            let bytes = Array(disk[index * block..<min(disk.count, (index + 1) * block)])
            data += try deflated(bytes + [UInt8](repeating: 0, count: block - bytes.count))
        }
        header.big(UInt64(start + data.count))
        return header.bytes + data
    }

    /// A growing image of Bochs; extents and sectors of zeros are left out, some at random not.
    static func bochs(_ disk: [UInt8], extent: Int, version: UInt32, random: inout Seeded) -> [UInt8] {
        let count = (disk.count + extent - 1) / extent
        let bitmap = max(1, extent / 512 / 8)
        var header = ByteBuilder()
        header.text("Bochs Virtual HD Image")
        header.pad(to: 32)
        header.text("Redolog")
        header.pad(to: 48)
        header.text("Growing")
        header.pad(to: 64)
        header.little(version)
        header.little(UInt32(512))
        header.little(UInt32(count + 3))
        header.little(UInt32(bitmap))
        header.little(UInt32(extent))
        if version == 0x20000 { header.little(UInt32(0)) }
        header.little(UInt64(disk.count))
        header.pad(to: 512)
        var catalogue = ByteBuilder()
        var data: [UInt8] = []
        var next: UInt32 = 0
        var order = Array(0..<count)
        order.shuffle(using: &random)
        var places = [UInt32](repeating: .max, count: count + 3)
        for index in order {
            let bytes = Array(disk[index * extent..<min(disk.count, (index + 1) * extent)])
            if bytes.allSatisfy({ $0 == 0 }), random.next() % 4 != 0 { continue }
            places[index] = next
            next += 1
            var bits = [UInt8](repeating: 0, count: (bitmap + 511) / 512 * 512)
            for sector in 0..<(bytes.count / 512) {
                let isZero = bytes[sector * 512..<(sector + 1) * 512].allSatisfy { $0 == 0 }
                if !isZero || random.next() % 4 == 0 { bits[sector / 8] |= 1 << UInt8(sector % 8) }
            }
            data += bits + bytes + [UInt8](repeating: 0, count: extent - bytes.count)
        }
        for place in places { catalogue.little(place) }
        return header.bytes + catalogue.bytes + data
    }
}
