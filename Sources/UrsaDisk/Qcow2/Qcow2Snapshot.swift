import UrsaBase

/// An internal snapshot of a qcow2 image, as its table has it.
public struct Qcow2Snapshot: Sendable, Equatable {
    /// Unique in its image; QEMU counts from 1.
    public var id: String
    /// Need not be unique.
    public var name: String
    /// When it was taken: seconds and nanoseconds since 1970.
    public var seconds: UInt32
    /// The part of a second, in nanoseconds.
    public var nanoseconds: UInt32
    /// How long the guest had been running, in nanoseconds.
    public var guestClock: UInt64
    /// Bytes of the machine's state that lie behind the disk's data; 0 for a snapshot of the disk alone.
    public var machineStateSize: UInt64
    /// Bytes of the disk; nil in old images, where it is that of the image.
    public var diskSize: UInt64?
    /// How many instructions the guest had executed, where it was recorded (-1 otherwise).
    public var instructionCount: UInt64?

    var l1Offset: UInt64
    var l1Size: UInt32
    /// Extra data after what is known here, kept as it is.
    var further: [UInt8] = []

    /// Largest table that is read, as QEMU has it: 65536 snapshots of 1 KiB.
    static let largestTable = 64 << 20

    /// The table as it lies in the image.
    static func encode(_ snapshots: [Qcow2Snapshot]) -> [UInt8] {
        var bytes: [UInt8] = []
        for item in snapshots {
            var extra: [UInt8] = []
            extra.appendBigEndian(item.machineStateSize)
            if let size = item.diskSize { extra.appendBigEndian(size) }
            if item.diskSize != nil, let count = item.instructionCount { extra.appendBigEndian(count) }
            extra += item.further
            bytes.appendBigEndian(item.l1Offset)
            bytes.appendBigEndian(item.l1Size)
            bytes.appendBigEndian(UInt16(truncatingIfNeeded: item.id.utf8.count))
            bytes.appendBigEndian(UInt16(truncatingIfNeeded: item.name.utf8.count))
            bytes.appendBigEndian(item.seconds)
            bytes.appendBigEndian(item.nanoseconds)
            bytes.appendBigEndian(item.guestClock)
            bytes.appendBigEndian(UInt32(clamping: item.machineStateSize))
            bytes.appendBigEndian(UInt32(extra.count))
            bytes += extra + Array(item.id.utf8) + Array(item.name.utf8)
            bytes += [UInt8](repeating: 0, count: (8 - bytes.count % 8) % 8)
        }
        return bytes
    }

    /// Reads the table of an image.
    static func read(_ file: ImageFile, _ header: Qcow2Header) throws(UrsaError) -> (list: [Qcow2Snapshot], size: Int) {
        var list: [Qcow2Snapshot] = []
        var offset = header.snapshotsOffset
        var total = 0
        func damaged(_ what: String) -> UrsaError {
            UrsaError(.io, "\(file.name) is damaged: \(what) in its snapshot table at offset \(header.snapshotsOffset)")
        }
        for number in 0..<Int(header.snapshotCount) {
            let fixed = try file.bytes(at: offset, count: 40)
            let idLength = Int(fixed.bigEndian(12, as: UInt16.self) ?? 0)
            let nameLength = Int(fixed.bigEndian(14, as: UInt16.self) ?? 0)
            let extraLength = Int(fixed.bigEndian(36, as: UInt32.self) ?? 0)
            guard extraLength <= 1024 else { throw damaged("\(extraLength) bytes of extra data") }
            let rest = try file.bytes(at: offset + 40, count: extraLength + idLength + nameLength)
            let length = (40 + rest.count + 7) & ~7
            total += length
            guard total <= largestTable else { throw damaged("more than 64 MiB") }
            offset += UInt64(length)
            let names = rest[extraLength...]
            var item = Qcow2Snapshot(
                id: String(decoding: names.prefix(idLength), as: UTF8.self),
                name: String(decoding: names.dropFirst(idLength), as: UTF8.self),
                seconds: fixed.bigEndian(16) ?? 0, nanoseconds: fixed.bigEndian(20) ?? 0,
                guestClock: fixed.bigEndian(24) ?? 0,
                machineStateSize: rest.bigEndian(0, as: UInt64.self).flatMap { extraLength >= 8 ? $0 : nil }
                    ?? UInt64(fixed.bigEndian(32, as: UInt32.self) ?? 0),
                diskSize: extraLength >= 16 ? rest.bigEndian(8) : nil,
                instructionCount: extraLength >= 24 ? rest.bigEndian(16) : nil,
                l1Offset: fixed.bigEndian(0) ?? 0, l1Size: fixed.bigEndian(8) ?? 0)
            if extraLength > 24 { item.further = Array(rest[24..<extraLength]) }
            guard UInt64(item.l1Size) * 8 <= Qcow2Geometry.largestL1, item.l1Offset < 1 << 62,
                item.l1Offset & (header.geometry.clusterSize - 1) == 0
            else {
                throw damaged(
                    "an L1 table of \(item.l1Size) entries at offset \(item.l1Offset) for snapshot \(number + 1)")
            }
            list.append(item)
        }
        return (list, total)
    }
}
