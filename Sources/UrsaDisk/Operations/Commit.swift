public import UrsaBase

/// Writes what the upper images of a chain say into one below them.
public enum Commit {
    /// The images that take part. All are open until it is done.
    public struct Chain: Sendable {
        /// The image whose content counts; open for writing where it is emptied.
        public var top: any DiskReader
        /// The image of its chain that is written to, opened for that.
        public var base: any DiskWriter
        /// How many images lie above `base`, `top` included.
        public var depth: Int

        /// Images that take part in a commit.
        public init(top: any DiskReader, base: any DiskWriter, depth: Int) {
            self.top = top
            self.base = base
            self.depth = depth
        }
    }

    /// Commits. Interrupted at any moment, `top` reads as before: it is emptied only when all of it is safe in `base`.
    ///
    /// - Parameters:
    ///   - empties: give the space of `top` back afterwards.
    ///   - durable: wait for stable storage. Before `top` is emptied that is done anyway.
    public static func run(
        _ chain: Chain, empties: Bool, durable: Bool, options: CopyOptions = CopyOptions(),
        progress: ProgressHandler? = nil
    ) throws(UrsaError) {
        let (top, base) = (chain.top, chain.base)
        let counter = ProgressCounter("committing", total: top.size, progress)
        if base.size < top.size { try base.resize(to: top.size, preallocation: .off) }
        let target = WriterTarget(base, startsAsZeroes: false, sparse: options.sparse)
        let upper = LayersReader(top, depth: chain.depth)
        try Copier(top, extents: upper, to: target, size: top.size, options: options, progress: counter).run()
        if durable || empties { try base.flush() }
        try base.close()
        guard let writer = top as? any DiskWriter else { return }
        if empties, let image = top as? Qcow2Image { try image.makeEmpty() }
        try writer.close()
    }
}
