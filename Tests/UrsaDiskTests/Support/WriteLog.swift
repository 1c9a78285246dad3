import Glibc
import TestSupport
import UrsaBase

@testable import UrsaDisk

/// What went to an image's file, in its order: enough to make the file as any loss of power could have left it.
final class WriteLog: Sendable {
    enum Change: Sendable {
        case write(UInt64, [UInt8])
        case zero(UInt64, UInt64)
        case resize(UInt64)
        case sync
        /// What the disk held when it was flushed, by the test.
        case flushed([UInt8])
    }

    private let changes = Locked<[Change]>([])

    var all: [Change] { changes.withLock { $0 } }

    func append(_ change: Change) { changes.withLock { $0.append(change) } }

    /// Options of a file whose changes are noted here.
    var options: ImageFile.Options {
        var options = ImageFile.Options(writable: true)
        options.syncs = false
        options.observer = { [self] change throws(UrsaError) in
            switch change {
            case .write(let bytes, let offset): append(.write(offset, Array(bytes)))
            case .zero(let offset, let count, _): append(.zero(offset, count))
            case .resize(let size): append(.resize(size))
            case .sync: append(.sync)
            }
        }
        return options
    }
}

/// A file's content as it comes about from changes.
struct DiskState {
    var bytes: [UInt8]

    mutating func apply(_ change: WriteLog.Change) {
        switch change {
        case .write(let offset, let content):
            grow(Int(offset) + content.count)
            bytes.replaceSubrange(Int(offset)..<Int(offset) + content.count, with: content)
        case .zero(let offset, let count):
            grow(Int(offset + count))
            for index in Int(offset)..<Int(offset + count) { bytes[index] = 0 }
        case .resize(let size):
            if size < bytes.count { bytes.removeLast(bytes.count - Int(size)) } else { grow(Int(size)) }
        case .sync, .flushed: break
        }
    }

    private mutating func grow(_ size: Int) {
        if size > bytes.count { bytes += [UInt8](repeating: 0, count: size - bytes.count) }
    }

    /// Only some whole sectors of a write: those that got there.
    mutating func tear(_ change: WriteLog.Change, _ random: inout Seeded) {
        guard case .write(let offset, let content) = change else {
            if random.chance(1, in: 2) { apply(change) }
            return
        }
        var start = 0
        while start < content.count {
            // Sectors of the disk, not of the write.
            let end = min(content.count, (Int(offset) + start) / 512 * 512 + 512 - Int(offset))
            if random.chance(1, in: 2) { apply(.write(offset + UInt64(start), Array(content[start..<end]))) }
            start = end
        }
    }
}
