import UrsaBase

/// Puts an ELF kernel into the guest's memory while its bytes come one after the other, so that the whole of it never lies anywhere else.
///
/// What comes after the segments is kept: in a bzImage it ends in the list of places that move with the kernel.
struct KernelPlacer {
    private struct Segment {
        let offset: UInt64, address: UInt64, fileSize: UInt64
    }

    private let ram: GuestRAM
    private var head: [UInt8] = []
    private var segments: [Segment] = []
    private var position: UInt64 = 0
    private(set) var tail: [UInt8] = []
    private var tailStart: UInt64 = .max
    private(set) var entry: UInt64 = 0
    private(set) var range: Range<UInt64> = 0..<0

    private static let mostTail = 16 << 20

    init(_ ram: GuestRAM) { self.ram = ram }

    /// Where the next `count` bytes belong in the guest, when all of them belong together: they may be made right there, and `take` only
    /// notes that they came.
    func place(_ count: Int) -> UnsafeMutableRawBufferPointer? {
        for segment in segments where segment.offset <= position {
            let offset = position - segment.offset
            guard offset <= segment.fileSize, UInt64(count) <= segment.fileSize - offset,
                let base = ram.pointer(segment.address + offset, UInt64(count))
            else { continue }
            return UnsafeMutableRawBufferPointer(start: base, count: count)
        }
        return nil
    }

    /// Takes the next bytes; false when this is no ELF kernel that can be placed.
    mutating func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if position == 0 {
            // Headers come whole in the first block, which is far larger.
            guard readHeaders(bytes) else { return false }
        }
        let end = position + UInt64(bytes.count)
        guard let base = bytes.baseAddress else { return true }
        for segment in segments {
            let from = max(segment.offset, position)
            let to = min(segment.offset + segment.fileSize, end)
            guard from < to else { continue }
            let piece = UnsafeRawBufferPointer(start: base + Int(from - position), count: Int(to - from))
            let address = segment.address + (from - segment.offset)
            if let there = ram.pointer(address, to - from), UnsafeRawPointer(there) == piece.baseAddress { continue }
            guard ram.write(piece, at: address) else { return false }
        }
        let from = max(tailStart, position)
        if from < end {
            guard tail.count + Int(end - from) <= KernelPlacer.mostTail else { return false }
            tail.append(contentsOf: UnsafeRawBufferPointer(start: base + Int(from - position), count: Int(end - from)))
        }
        position = end
        return true
    }

    private mutating func readHeaders(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let fields = Fields(bytes: Array(bytes.prefix(8192)))
        guard fields.load(0, as: UInt32.self) == ELFImage.magic, let machine: UInt16 = fields.load(18), machine == 62,
            let entry: UInt64 = fields.load(24), let table: UInt64 = fields.load(32),
            let size: UInt16 = fields.load(54),
            let count: UInt16 = fields.load(56), size == 56, (1...64).contains(count), table <= 4096
        else { return false }
        var lowest = UInt64.max
        var highest: UInt64 = 0
        var last: UInt64 = 0
        for index in 0..<Int(count) {
            let at = Int(table) + index * 56
            guard let kind: UInt32 = fields.load(at) else { return false }
            guard kind == 1 else { continue }
            guard let offset: UInt64 = fields.load(at + 8), let address: UInt64 = fields.load(at + 24),
                let fileSize: UInt64 = fields.load(at + 32), let memorySize: UInt64 = fields.load(at + 40),
                fileSize <= memorySize, address >= KernelImage.lowest, ram.pointer(address, memorySize) != nil
            else { return false }
            let (end, overflow) = offset.addingReportingOverflow(fileSize)
            guard !overflow else { return false }
            segments.append(Segment(offset: offset, address: address, fileSize: fileSize))
            lowest = min(lowest, address)
            highest = max(highest, address + memorySize)
            last = max(last, end)
        }
        guard lowest < highest, (lowest..<highest).contains(entry) else { return false }
        self.entry = entry
        range = lowest..<highest
        tailStart = last
        return true
    }
}
