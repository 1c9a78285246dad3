import Glibc
import UrsaBase

/// Slices of tables (L2 tables or refcount blocks) in memory: bounded, whatever the size of the image.
///
/// Eight ways to a set, the least recently used clean slice goes first. Dirty slices never leave by themselves, because
/// the order in which tables reach the file is the image's to decide: when a set holds nothing clean, `slice` returns
/// nil and the image writes back. Pages that were never used cost no memory. Not safe for several threads: the image
/// calls it from inside its monitor. A pointer is good until the next call.
final class Qcow2MetadataCache {
    private static let ways = 8
    private let file: ImageFile
    let sliceSize: Int
    private let setMask: UInt64
    private let memory: AlignedBuffer
    /// File offset of the slice in each slot; 0, where the header lies, for an empty one.
    private let keys: UnsafeMutablePointer<UInt64>
    private let lastUse: UnsafeMutablePointer<UInt64>
    private let isDirty: UnsafeMutablePointer<Bool>
    private let slots: Int
    private var clock: UInt64 = 0
    private var dirty: [Int] = []

    /// - Parameter capacity: bytes of table at most, rounded to a power of two of sets.
    init(file: ImageFile, sliceSize: Int, capacity: Int) {
        self.file = file
        self.sliceSize = sliceSize
        var sets = 1
        while sets * 2 * Qcow2MetadataCache.ways * sliceSize <= capacity { sets *= 2 }
        setMask = UInt64(sets - 1)
        slots = sets * Qcow2MetadataCache.ways
        memory = AlignedBuffer(count: slots * sliceSize)
        keys = .allocate(capacity: slots)
        keys.initialize(repeating: 0, count: slots)
        lastUse = .allocate(capacity: slots)
        lastUse.initialize(repeating: 0, count: slots)
        isDirty = .allocate(capacity: slots)
        isDirty.initialize(repeating: false, count: slots)
    }

    deinit {
        keys.deallocate()
        lastUse.deallocate()
        isDirty.deallocate()
    }

    var hasDirty: Bool { !dirty.isEmpty }

    @inline(__always)
    private func firstSlot(_ offset: UInt64) -> Int {
        let number = offset / UInt64(sliceSize)
        return Int(((number &* 0x9e37_79b9_7f4a_7c15) >> 32) & setMask) * Qcow2MetadataCache.ways
    }

    @inline(__always)
    private func find(_ offset: UInt64) -> Int? {
        let first = firstSlot(offset)
        for slot in first..<(first + Qcow2MetadataCache.ways) where keys[slot] == offset {
            clock &+= 1
            lastUse[slot] = clock
            return slot
        }
        return nil
    }

    private func take(_ offset: UInt64) -> Int? {
        let first = firstSlot(offset)
        var best: Int?
        for slot in first..<(first + Qcow2MetadataCache.ways) where !isDirty[slot] {
            if let known = best, lastUse[known] <= lastUse[slot] { continue }
            best = slot
        }
        guard let slot = best else { return nil }
        clock &+= 1
        lastUse[slot] = clock
        keys[slot] = 0
        return slot
    }

    @inline(__always)
    private func address(_ slot: Int) -> UnsafeMutableRawPointer { memory.base + slot * sliceSize }

    /// The slice that lies at `offset` of the file (a multiple of the slice's size), read if need be; nil when dirty
    /// slices must be written first. `writing` marks it dirty.
    func slice(_ offset: UInt64, writing: Bool) throws(UrsaError) -> UnsafeMutableRawPointer? {
        if let slot = find(offset) {
            if writing { mark(slot) }
            return address(slot)
        }
        guard let slot = take(offset) else { return nil }
        guard offset < file.size else {
            throw UrsaError(
                .io, "\(file.name) is damaged: a table lies at offset \(offset), past the end of the file",
                remedy: "look at it with: ursa image check")
        }
        try file.readPadded(into: UnsafeMutableRawBufferPointer(start: address(slot), count: sliceSize), at: offset)
        keys[slot] = offset
        if writing { mark(slot) }
        return address(slot)
    }

    /// The slice if it is in memory.
    func present(_ offset: UInt64) -> UnsafeMutableRawPointer? { find(offset).map { address($0) } }

    /// A slice whose content is new: zeros, dirty, without reading what lies in the file. Nil as `slice`.
    func fresh(_ offset: UInt64) -> UnsafeMutableRawPointer? {
        guard let slot = find(offset) ?? take(offset) else { return nil }
        keys[slot] = offset
        memset(address(slot), 0, sliceSize)
        mark(slot)
        return address(slot)
    }

    private func mark(_ slot: Int) {
        guard !isDirty[slot] else { return }
        isDirty[slot] = true
        dirty.append(slot)
    }

    /// Writes all dirty slices, in the order of their offsets, adjacent ones in one piece.
    func writeDirty() throws(UrsaError) {
        guard !dirty.isEmpty else { return }
        dirty.sort { keys[$0] < keys[$1] }
        var index = 0
        while index < dirty.count {
            var end = index + 1
            while end < dirty.count, end - index < 64,
                keys[dirty[end]] == keys[dirty[end - 1]] + UInt64(sliceSize)
            {
                end += 1
            }
            let start = keys[dirty[index]]
            if end == index + 1 {
                try file.write(UnsafeRawBufferPointer(start: address(dirty[index]), count: sliceSize), at: start)
            } else {
                let joined = AlignedBuffer(count: (end - index) * sliceSize)
                for (number, slot) in dirty[index..<end].enumerated() {
                    memcpy(joined.base + number * sliceSize, address(slot), sliceSize)
                }
                try file.write(UnsafeRawBufferPointer(joined.prefix((end - index) * sliceSize)), at: start)
            }
            index = end
        }
        for slot in dirty { isDirty[slot] = false }
        dirty.removeAll(keepingCapacity: true)
    }

    /// Forgets the slices of a range, written or not: its clusters belong to somebody else now.
    func forget(_ offset: UInt64, count: UInt64) {
        for start in stride(from: offset, to: offset + count, by: sliceSize) {
            guard let slot = find(start) else { continue }
            keys[slot] = 0
            lastUse[slot] = 0
            if isDirty[slot] {
                isDirty[slot] = false
                dirty.removeAll { $0 == slot }
            }
        }
    }

    /// Forgets everything, written or not.
    func forgetAll() {
        for slot in 0..<slots {
            keys[slot] = 0
            lastUse[slot] = 0
            isDirty[slot] = false
        }
        dirty.removeAll(keepingCapacity: true)
    }
}
