import CLinux
import Glibc
import UrsaBase

@testable import UrsaVMM

/// A guest's memory of 256 KiB between borders that a sanitizer watches.
final class SmallMemory: @unchecked Sendable {
    // SAFETY: used by one input at a time.

    static let size: UInt64 = 256 << 10
    let base = UnsafeMutableRawPointer.allocate(byteCount: Int(SmallMemory.size), alignment: 4096)
    let ram: GuestRAM

    /// Made once for all inputs, because a sanitizer takes long to give such memory out.
    private static let spare = Locked<[SmallMemory]>([])

    static func with(_ body: (SmallMemory) throws(Violation) -> Void) throws(Violation) {
        let memory = spare.withLock { $0.popLast() } ?? SmallMemory()
        defer {
            memset(memory.base, 0, Int(SmallMemory.size))
            spare.withLock { $0.append(memory) }
        }
        try body(memory)
    }

    init() {
        memset(base, 0, Int(SmallMemory.size))
        ram = GuestRAM(adopting: [GuestRAM.Region(guestStart: 0, size: SmallMemory.size, base: base)])
    }

    deinit { base.deallocate() }
}
