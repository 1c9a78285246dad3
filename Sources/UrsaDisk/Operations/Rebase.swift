import Glibc
public import UrsaBase

/// Puts a qcow2 image over another one than before.
public enum Rebase {
    /// Writes only the new name down. The image must have been opened without what it was over.
    ///
    /// - Parameters:
    ///   - name: as the image shall state it; nil for none.
    ///   - format: of that image.
    public static func rename(_ image: Qcow2Image, to name: String?, format: String?) throws(UrsaError) {
        try image.setBacking(name, format: name == nil ? nil : format)
        try image.close()
    }

    /// Copies what differs between the old and the new image below, then writes the name down. The image reads the same
    /// at any moment.
    ///
    /// - Parameters:
    ///   - new: the image it shall be over, nil for none.
    ///   - name: of that image, as `image` shall state it.
    ///   - durable: wait for stable storage; before the name changes that is done anyway.
    public static func run(
        _ image: Qcow2Image, onto new: (any DiskReader)?, name: String?, format: String?, durable: Bool,
        progress: ProgressHandler? = nil
    ) throws(UrsaError) {
        let counter = ProgressCounter("rebasing", total: image.size, progress)
        let cluster = image.clusterSize ?? 65536
        let piece = max(cluster, Copier.pieceSize)
        let (old, fresh) = (AlignedBuffer(count: Int(piece)), AlignedBuffer(count: Int(piece)))
        let layers = (before: DiskLayers(image), after: new.map { DiskLayers($0) })
        var offset: UInt64 = 0
        while offset < image.size {
            let extent = try image.extent(at: offset, limit: image.size - offset)
            var length = max(1, extent.length)
            if extent.kind == .unallocated {
                length = try unlessEqual(image, new, layers, offset, length, piece) { (count) throws(UrsaError) in
                    try copyDifferences(
                        image, new, offset, count, cluster, old.prefix(Int(count)), fresh.prefix(Int(count)))
                }
            }
            offset += length
            counter.reach(offset)
        }
        try image.flush()
        try image.setBacking(name, format: name == nil ? nil : format)
        if durable { try image.flush() }
        try image.close()
    }

    /// Skips what reads as zeros from both; else copies a piece. Returns how many bytes are settled.
    private static func unlessEqual(
        _ image: Qcow2Image, _ new: (any DiskReader)?, _ layers: (before: DiskLayers, after: DiskLayers?),
        _ offset: UInt64, _ length: UInt64, _ piece: UInt64,
        _ copy: (UInt64) throws(UrsaError) -> Void
    ) throws(UrsaError) -> UInt64 {
        var length = length
        let before = try layers.before.entry(at: offset, limit: length)
        length = min(length, before.length)
        var isZeroBelow = true
        if let new, let after = layers.after, offset < new.size {
            let after = try after.entry(at: offset, limit: min(length, new.size - offset))
            length = min(length, after.length)
            isZeroBelow = after.isZero
        }
        if before.isZero, isZeroBelow { return length }
        // Whole clusters, so that none is written twice.
        let end = min(roundUp(offset + 1, to: piece), image.size)
        let count = min(min(max(length, 1), piece), end - offset)
        try copy(count)
        return count
    }

    /// Writes the old content where the new image below would show another.
    private static func copyDifferences(
        _ image: Qcow2Image, _ new: (any DiskReader)?, _ offset: UInt64, _ count: UInt64, _ cluster: UInt64,
        _ old: UnsafeMutableRawBufferPointer, _ fresh: UnsafeMutableRawBufferPointer
    ) throws(UrsaError) {
        try image.read(into: old, at: offset)
        fresh.initializeMemory(as: UInt8.self, repeating: 0)
        if let new, offset < new.size {
            let inside = UnsafeMutableRawBufferPointer(rebasing: fresh[..<Int(min(count, new.size - offset))])
            try new.read(into: inside, at: offset)
        }
        guard let left = old.baseAddress, let right = fresh.baseAddress else { return }
        var position = 0
        while position < Int(count) {
            // Up to the next boundary between clusters.
            let next = min(Int(count), Int(roundUp(offset + UInt64(position) + 1, to: cluster) - offset))
            if memcmp(left + position, right + position, next - position) != 0 {
                let bytes = UnsafeRawBufferPointer(rebasing: old[position..<next])
                if ZeroScan.isZero(bytes) {
                    try image.writeZeroes(at: offset + UInt64(position), count: UInt64(next - position), unmap: false)
                } else {
                    try image.write(bytes, at: offset + UInt64(position))
                }
            }
            position = next
        }
    }
}
