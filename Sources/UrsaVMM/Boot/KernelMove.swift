import UrsaBase

/// Moves an unpacked kernel to another virtual address, as the kernel's own unpacker would (address space layout randomization;
/// arch/x86/boot/compressed/misc.c, handle_relocations).
///
/// The physical place stays. The lists stand at the end of the unpacked payload, last first: places of 32 bits, places of 32 bits that go the
/// other way, places of 64 bits, each list begun by a zero. From Linux 6.15 on there is no list of the second kind.
struct KernelMove {
    private static let kernelMap: UInt64 = 0xffff_ffff_8000_0000
    /// Virtual addresses that a kernel may have: KERNEL_IMAGE_SIZE.
    private static let space: UInt64 = 1 << 30
    private static let linkedAt: UInt64 = 0x100_0000

    /// Chooses an address and moves the kernel there.
    ///
    /// - Parameters:
    ///   - lists: the end of the payload.
    ///   - alignment: the kernel's, of its setup header.
    /// - Returns: false, and nothing is changed, when there are no such lists.
    static func moveAtRandom(
        _ range: Range<UInt64>, lists: [UInt8], alignment: UInt64, hasInverse: Bool, in ram: GuestRAM
    ) -> Bool {
        let step = max(alignment, 2 << 20)
        let size = UInt64(range.count)
        guard step & (step - 1) == 0, range.lowerBound == linkedAt, size < space - linkedAt else { return false }
        let slots = (space - linkedAt - size) / step
        guard slots > 0 else { return false }
        let delta = UInt64.random(in: 0...slots) * step
        var found: [ArraySlice<UInt8>] = []
        var end = lists.count
        for _ in 0..<(hasInverse ? 3 : 2) {
            guard let start = startOfList(lists, end) else { return false }
            found.append(lists[start..<end])
            end = start - 4
        }
        // A kernel has hundreds of thousands of them; anything else at the end of a file is no list.
        guard found[0].count > 4096 * 4 else { return false }
        let narrow = found[0], inverse = hasInverse ? found[1] : [], wide = found[hasInverse ? 2 : 1]
        guard fits(narrow, 4, range, ram), fits(inverse, 4, range, ram), fits(wide, 8, range, ram) else { return false }
        guard let base = ram.pointer(range.lowerBound, size) else { return false }
        each(narrow) { place in
            let at = base + Int(place &- range.lowerBound)
            at.storeBytes(of: at.loadUnaligned(as: UInt32.self) &+ UInt32(truncatingIfNeeded: delta), as: UInt32.self)
        }
        each(inverse) { place in
            let at = base + Int(place &- range.lowerBound)
            at.storeBytes(of: at.loadUnaligned(as: UInt32.self) &- UInt32(truncatingIfNeeded: delta), as: UInt32.self)
        }
        each(wide) { place in
            let at = base + Int(place &- range.lowerBound)
            at.storeBytes(of: at.loadUnaligned(as: UInt64.self) &+ delta, as: UInt64.self)
        }
        return true
    }

    /// Where the list that ends at `end` starts: after a zero.
    private static func startOfList(_ bytes: [UInt8], _ end: Int) -> Int? {
        bytes.withUnsafeBytes { bytes in
            var at = end - 4
            while at >= 0 {
                if bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self) == 0 { return at + 4 }
                at -= 4
            }
            return nil
        }
    }

    /// Physical addresses of a list.
    @inline(__always)
    private static func each(_ list: ArraySlice<UInt8>, _ body: (UInt64) -> Void) {
        list.withUnsafeBytes { bytes in
            var at = 0
            while at &+ 4 <= bytes.count {
                // The lower half of the linked virtual address, whose upper half is all ones.
                let low = bytes.loadUnaligned(fromByteOffset: at, as: Int32.self)
                body(UInt64(bitPattern: Int64(low)) &- kernelMap)
                at &+= 4
            }
        }
    }

    private static func fits(_ list: ArraySlice<UInt8>, _ size: UInt64, _ range: Range<UInt64>, _ ram: GuestRAM) -> Bool
    {
        var isInside = true
        each(list) { place in
            if place < range.lowerBound || place >= range.upperBound || range.upperBound &- place < size {
                isInside = false
            }
        }
        return isInside
    }
}
