import CLinux
public import UrsaBase

/// Finds the device for a port or an address: one bus for ports, one for memory.
///
/// Reading (every exit of every processor) takes no lock, allocates nothing and touches no reference count: the table is sorted,
/// has a fixed place and size, and a count that is odd while it changes tells a reader to look again. Devices are kept as long
/// as the bus, so that a call that a change overtook still reaches a living object.
public final class Bus: @unchecked Sendable {
    // SAFETY: `words` is written only inside of `owners`' lock and read by relaxed atomic loads that `version` validates.

    /// Most ranges that a bus takes.
    public static let capacity = 256

    private struct Range {
        let start: UInt64
        let end: UInt64
        let name: String
        let device: BusDevice
    }
    private struct Owners {
        var ranges: [Range] = []
        /// Every device that ever was on this bus, once.
        var kept: [ObjectIdentifier: BusDevice] = [:]
    }

    private let owners = Locked(Owners())
    /// version, count, then starts, last addresses and devices of up to `capacity` ranges.
    private let words: UnsafeMutablePointer<UInt64>
    private var version: UnsafeMutablePointer<UInt64> { words }
    private var count: UnsafeMutablePointer<UInt64> { words + 1 }
    private var starts: UnsafeMutablePointer<UInt64> { words + 2 }
    private var lasts: UnsafeMutablePointer<UInt64> { words + 2 + Bus.capacity }
    private var devices: UnsafeMutablePointer<UInt64> { words + 2 + 2 * Bus.capacity }

    /// An empty bus.
    public init() {
        words = .allocate(capacity: 2 + 3 * Bus.capacity)
        words.initialize(repeating: 0, count: 2 + 3 * Bus.capacity)
    }

    deinit { words.deallocate() }

    // MARK: Accesses

    /// Reads from the device at an address; all ones where there is none.
    @inline(__always)
    public func read(_ address: UInt64, size: Int) -> UInt64 {
        guard let (device, offset) = find(address) else { return .max }
        return device._withUnsafeGuaranteedRef { $0.read(offset: offset, size: size) }
    }

    /// Writes to the device at an address; false where there is none.
    @inline(__always)
    @discardableResult
    public func write(_ address: UInt64, size: Int, value: UInt64) -> Bool {
        guard let (device, offset) = find(address) else { return false }
        device._withUnsafeGuaranteedRef { $0.write(offset: offset, size: size, value: value) }
        return true
    }

    private func find(_ address: UInt64) -> (Unmanaged<BusDevice>, UInt64)? {
        while true {
            let before = clinux_load64_acquire(version)
            if before & 1 != 0 { continue }
            var low = 0
            var high = Int(truncatingIfNeeded: clinux_load64_relaxed(count))
            // The range with the highest start that is not above the address.
            while low < high {
                let middle = (low &+ high) / 2
                if clinux_load64_relaxed(starts + middle) <= address { low = middle &+ 1 } else { high = middle }
            }
            var start: UInt64 = 0
            var last: UInt64 = 0
            var device: UInt64 = 0
            if low > 0 {
                start = clinux_load64_relaxed(starts + (low &- 1))
                last = clinux_load64_relaxed(lasts + (low &- 1))
                device = clinux_load64_relaxed(devices + (low &- 1))
            }
            clinux_fence_acquire()
            guard clinux_load64_relaxed(version) == before else { continue }
            guard low > 0, address <= last, let opaque = UnsafeRawPointer(bitPattern: UInt(device)) else { return nil }
            return (Unmanaged<BusDevice>.fromOpaque(opaque), address &- start)
        }
    }

    // MARK: Changes

    /// Puts a device at a range of addresses.
    ///
    /// - Throws: `.conflict` when the range meets another, `.usage` when it is empty or wraps, or the bus is full.
    public func add(_ device: BusDevice, at address: UInt64, count: UInt64, name: String) throws(UrsaError) {
        try owners.withLock { owners throws(UrsaError) in
            try insert(Range(start: address, end: address &+ count, name: name, device: device), count, &owners)
            publish(owners)
        }
    }

    /// Takes the range that starts at an address away; false when none starts there.
    @discardableResult
    public func remove(at address: UInt64) -> Bool {
        owners.withLock { owners in
            guard let index = owners.ranges.firstIndex(where: { $0.start == address }) else { return false }
            owners.ranges.remove(at: index)
            publish(owners)
            return true
        }
    }

    /// Moves the range that starts at `address` to another place. On failure everything stays as it was.
    public func move(from address: UInt64, to target: UInt64) throws(UrsaError) {
        try owners.withLock { owners throws(UrsaError) in
            guard let index = owners.ranges.firstIndex(where: { $0.start == address }) else {
                throw UrsaError(.notFound, "no device starts at 0x\(String(address, radix: 16))")
            }
            let old = owners.ranges.remove(at: index)
            let count = old.end &- old.start
            do throws(UrsaError) {
                let new = Range(start: target, end: target &+ count, name: old.name, device: old.device)
                try insert(new, count, &owners)
            } catch {
                owners.ranges.insert(old, at: index)
                throw error
            }
            publish(owners)
        }
    }

    private func insert(_ range: Range, _ count: UInt64, _ owners: inout Owners) throws(UrsaError) {
        guard count > 0, range.end > range.start else {
            throw UrsaError(.usage, "the range of \(range.name) is empty or passes the end of the address space")
        }
        guard owners.ranges.count < Bus.capacity else {
            throw UrsaError(
                .unsupported, "a bus has at most \(Bus.capacity) ranges; there is no room for \(range.name)")
        }
        if let other = owners.ranges.first(where: { $0.start < range.end && range.start < $0.end }) {
            throw UrsaError(
                .conflict, "\(range.name) and \(other.name) would overlap at 0x\(String(range.start, radix: 16))")
        }
        let index = owners.ranges.firstIndex { $0.start > range.start } ?? owners.ranges.count
        owners.ranges.insert(range, at: index)
        owners.kept[ObjectIdentifier(range.device)] = range.device
    }

    private func publish(_ owners: borrowing Owners) {
        let before = clinux_load64_relaxed(version)
        clinux_store64_relaxed(version, before &+ 1)
        clinux_fence_release()
        for (index, range) in owners.ranges.enumerated() {
            clinux_store64_relaxed(starts + index, range.start)
            clinux_store64_relaxed(lasts + index, range.end &- 1)
            let opaque = Unmanaged.passUnretained(range.device).toOpaque()
            clinux_store64_relaxed(devices + index, UInt64(UInt(bitPattern: opaque)))
        }
        clinux_store64_relaxed(count, UInt64(owners.ranges.count))
        clinux_store64_release(version, before &+ 2)
    }

    /// The ranges and their names by address, for people.
    public var listing: [(start: UInt64, count: UInt64, name: String)] {
        owners.withLock { $0.ranges.map { ($0.start, $0.end &- $0.start, $0.name) } }
    }
}
