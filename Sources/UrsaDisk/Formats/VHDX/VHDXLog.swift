import UrsaBase

/// A vhdx file as it is after its log has been replayed, in memory only: who opens for reading changes nothing.
///
/// [MS-VHDX] 2.3: the log is a ring of sectors of 4 KiB. An entry has a header, descriptors of 32 bytes (a range that
/// becomes zeros, or a sector that is replaced) and the new sectors. What must be replayed is the newest run of valid
/// entries with following numbers, from the entry that the last of them calls the tail.
final class VHDXReplay: ByteSource {
    private struct Change {
        var order: Int
        /// Where the new bytes lie in `sectors`; nil for zeros.
        var sector: Int?
    }
    private struct ZeroRange {
        var order: Int
        var start: UInt64
        var end: UInt64
    }
    static let sectorSize = 4096

    let name: String
    let size: UInt64
    private let file: any ByteSource
    private let sectors: [UInt8]
    private let replaced: [UInt64: Change]
    private let zeroed: [ZeroRange]

    /// Replays the entries of `log`, the oldest first.
    init(_ entries: [VHDXLog.Entry], of log: VHDXLog, over file: any ByteSource) throws(UrsaError) {
        var sectors: [UInt8] = []
        var replaced: [UInt64: Change] = [:]
        var zeroed: [ZeroRange] = []
        var order = 0
        var size = file.size
        for entry in entries {
            guard entry.flushedSize <= file.size else {
                throw file.damaged(
                    .vhdx, "its log was written when the file had \(entry.flushedSize) bytes: it was cut short")
            }
            size = max(size, min(entry.lastSize, UInt64(Int64.max)))
            for change in try log.changes(of: entry) {
                order += 1
                if let data = change.data {
                    replaced[change.offset / UInt64(Self.sectorSize)] = Change(order: order, sector: sectors.count)
                    sectors += data
                } else {
                    guard zeroed.count < 4096 else { throw file.refused(.vhdx, "its log clears too many ranges") }
                    zeroed.append(ZeroRange(order: order, start: change.offset, end: change.offset &+ change.length))
                }
            }
        }
        name = file.name
        self.file = file
        self.size = size
        self.sectors = sectors
        self.replaced = replaced
        self.zeroed = zeroed
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(UrsaError) {
        let present = offset < file.size ? Int(min(UInt64(buffer.count), file.size - offset)) : 0
        try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[0..<present]), at: offset)
        clear(UnsafeMutableRawBufferPointer(rebasing: buffer[present...]))
        let step = UInt64(Self.sectorSize)
        let end = offset + UInt64(buffer.count)
        var position = offset
        while position < end {
            let number = position / step
            let next = min(end, (number + 1) * step)
            var order = 0
            var change = replaced[number]
            for zero in zeroed where zero.start <= number * step && number * step < zero.end { order = zero.order }
            if order > (change?.order ?? 0) { change = Change(order: order, sector: nil) }
            if let change {
                let target = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[Int(position - offset)..<Int(next - offset)])
                if let sector = change.sector {
                    let start = sector + Int(position - number * step)
                    sectors.withUnsafeBytes { sectors in
                        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: sectors[start..<start + target.count]))
                    }
                } else {
                    clear(target)
                }
            }
            position = next
        }
    }
}

/// The log of a vhdx file, whole in memory.
struct VHDXLog {
    /// An entry whose checksum is right.
    struct Entry {
        /// First sector in the ring, and how many.
        var sector: Int
        var sectors: Int
        var number: UInt64
        var descriptors: Int
        /// Offset in the ring of the entry that a replay begins with.
        var tail: UInt64
        /// Size that the file had on stable storage when the entry was written.
        var flushedSize: UInt64
        /// Size that the file needs for all that it holds.
        var lastSize: UInt64
    }

    /// What one descriptor says.
    struct Change {
        var offset: UInt64
        var length: UInt64
        /// The new sector; nil when the range becomes zeros.
        var data: [UInt8]?
    }

    private let file: any ByteSource
    private let ring: [UInt8]
    private let guid: [UInt8]
    private var count: Int { ring.count / VHDXReplay.sectorSize }

    /// Reads the log that a header names.
    init(_ file: any ByteSource, at offset: UInt64, length: UInt64, guid: [UInt8]) throws(UrsaError) {
        guard length <= 16 << 20 else {
            throw file.refused(.vhdx, "its log has \(length) bytes", remedy: "replay it: qemu-img check -r all")
        }
        guard length % (1 << 20) == 0, offset >= 1 << 20 else {
            throw file.damaged(.vhdx, "its log has \(length) bytes", at: offset)
        }
        self.file = file
        self.guid = guid
        ring = try file.structure("log", of: .vhdx, at: offset, count: Int(length)).bytes
    }

    /// Bytes of one sector of the ring.
    private func sector(_ number: Int) -> ArraySlice<UInt8> {
        let start = number % count * VHDXReplay.sectorSize
        return ring[start..<start + VHDXReplay.sectorSize]
    }

    /// The entries to replay, the oldest first; none when the log is empty.
    func entries() throws(UrsaError) -> [Entry] {
        // Each entry's checksum is over all of its sectors: so many sectors may be looked at, sixteen rounds of the ring.
        var budget = 16 * count
        var best: [Entry] = []
        var position = 0
        while position < count {
            var run: [Entry] = []
            while let entry = try entry(at: position + run.reduce(0) { $0 + $1.sectors }, &budget) {
                if let last = run.last, entry.number != last.number &+ 1 { break }
                run.append(entry)
                if run.reduce(0, { $0 + $1.sectors }) >= count { break }
            }
            // A run over the end of the ring is found from its second part first.
            let newest = best.last?.number ?? 0
            if let last = run.last, last.number > newest || last.number == newest && run.count > best.count {
                best = run
            }
            position += max(1, run.first?.sectors ?? 1)
        }
        guard let last = best.last else { return [] }
        guard let first = best.firstIndex(where: { UInt64($0.sector * VHDXReplay.sectorSize) == last.tail }) else {
            throw file.damaged(.vhdx, "the newest entry of its log has its tail at \(last.tail), where none is")
        }
        return Array(best[first...])
    }

    private func entry(at position: Int, _ budget: inout Int) throws(UrsaError) -> Entry? {
        let first = Fields(Array(sector(position)))
        guard first.says("loge"), first.bytes[32..<48].elementsEqual(guid) else { return nil }
        let length = Int(first.little32(8))
        let descriptors = Int(first.little32(24))
        let number = first.little64(16)
        guard length > 0, length % VHDXReplay.sectorSize == 0, length <= ring.count, number > 0,
            64 + descriptors * 32 <= length
        else { return nil }
        let sectors = length / VHDXReplay.sectorSize
        budget -= sectors
        guard budget >= 0 else { throw file.damaged(.vhdx, "its log is made of entries inside of entries") }
        var whole: [UInt8] = []
        whole.reserveCapacity(length)
        for index in 0..<sectors { whole += sector(position + index) }
        guard CRC32C.of(whole) == first.little32(4) else { return nil }
        return Entry(
            sector: position % count, sectors: sectors, number: number, descriptors: descriptors,
            tail: UInt64(first.little32(12)), flushedSize: first.little64(48), lastSize: first.little64(56))
    }

    /// What an entry changes, in its order.
    func changes(of entry: Entry) throws(UrsaError) -> [Change] {
        var next = (64 + entry.descriptors * 32 + VHDXReplay.sectorSize - 1) / VHDXReplay.sectorSize
        var changes: [Change] = []
        for index in 0..<entry.descriptors {
            let place = 64 + index * 32
            let sector = sector(entry.sector + place / VHDXReplay.sectorSize)
            let descriptor = Fields(Array(sector.dropFirst(place % VHDXReplay.sectorSize).prefix(32)))
            let offset = descriptor.little64(16)
            guard descriptor.little64(24) == entry.number, offset % 4096 == 0, offset < UInt64(Int64.max) - 4096 else {
                throw file.damaged(.vhdx, "an entry of its log has a wrong descriptor", at: offset)
            }
            if descriptor.says("zero") {
                let length = descriptor.little64(8)
                guard length % 4096 == 0, length <= UInt64(Int64.max) - offset else {
                    throw file.damaged(.vhdx, "its log clears \(length) bytes", at: offset)
                }
                changes.append(Change(offset: offset, length: length, data: nil))
            } else if descriptor.says("desc"), next < entry.sectors {
                let data = Array(self.sector(entry.sector + next))
                next += 1
                let fields = Fields(data)
                let number = UInt64(fields.little32(4)) << 32 | UInt64(fields.little32(4092))
                guard fields.says("data"), number == entry.number else {
                    throw file.damaged(.vhdx, "an entry of its log lacks its data", at: offset)
                }
                // The first 8 and last 4 bytes make room for the signature and the number; the descriptor keeps them.
                let whole = Array(descriptor.bytes[8..<16] + data[8..<4092] + descriptor.bytes[4..<8])
                changes.append(Change(offset: offset, length: 4096, data: whole))
            } else {
                throw file.damaged(.vhdx, "an entry of its log has an unknown descriptor", at: offset)
            }
        }
        return changes
    }
}
