import Glibc
import UrsaBase

/// The bytes of a file that exists only in memory: for fuzzing and tests, where a system call for each field would be
/// the slowest part. It grows by writing, up to a limit.
final class MemoryFile: Sendable {
    private let bytes: Locked<[UInt8]>
    private let limit: Int

    init(_ bytes: [UInt8], limit: Int) {
        self.bytes = Locked(bytes)
        self.limit = limit
    }

    var size: UInt64 { UInt64(bytes.withLock { $0.count }) }

    var content: [UInt8] { bytes.withLock { $0 } }

    /// Copies what there is from `offset`; returns how many bytes there were.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        bytes.withLock { bytes in
            guard offset < UInt64(bytes.count) else { return 0 }
            let start = Int(offset)
            let count = min(buffer.count, bytes.count - start)
            bytes.withUnsafeBytes {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + count]))
            }
            return count
        }
    }

    func write(_ source: UnsafeRawBufferPointer, at offset: UInt64, name: String) throws(UrsaError) {
        let end = try grow(to: offset, by: UInt64(source.count), name)
        bytes.withLock { bytes in
            bytes.withUnsafeMutableBytes {
                UnsafeMutableRawBufferPointer(rebasing: $0[(end - source.count)..<end]).copyMemory(from: source)
            }
        }
    }

    func zero(at offset: UInt64, count: UInt64) {
        bytes.withLock { bytes in
            guard offset < UInt64(bytes.count) else { return }
            let start = Int(offset)
            let end = start + Int(min(count, UInt64(bytes.count - start)))
            for index in start..<end { bytes[index] = 0 }
        }
    }

    func resize(to size: UInt64, name: String) throws(UrsaError) {
        guard size <= UInt64(limit) else { throw tooLarge(name) }
        bytes.withLock { bytes in
            let count = Int(size)
            if count < bytes.count {
                bytes.removeLast(bytes.count - count)
            } else {
                bytes.append(contentsOf: repeatElement(0, count: count - bytes.count))
            }
        }
    }

    private func grow(to offset: UInt64, by count: UInt64, _ name: String) throws(UrsaError) -> Int {
        let (end, overflow) = offset.addingReportingOverflow(count)
        guard !overflow, end <= UInt64(limit) else { throw tooLarge(name) }
        if end > size { try resize(to: end, name: name) }
        return Int(end)
    }

    private func tooLarge(_ name: String) -> UrsaError {
        UrsaError(.io, "\(name) would grow past \(ByteCount(UInt64(limit))), its limit in memory")
    }
}
