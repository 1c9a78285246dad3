public import UrsaBase

/// Spare objects that cost something to make and that one thread at a time may use, such as compressors.
public final class Pool<Item>: Sendable {
    private let spare = Locked<[Item]>([])
    private let limit: Int
    private let make: @Sendable () throws(UrsaError) -> Item

    /// - Parameters:
    ///   - limit: most spare objects kept; more may be in use.
    ///   - make: makes one when none is spare.
    public init(limit: Int = 16, _ make: @escaping @Sendable () throws(UrsaError) -> Item) {
        self.limit = limit
        self.make = make
    }

    /// Runs `body` with an object that no one else uses meanwhile.
    public func with<R>(_ body: (Item) throws(UrsaError) -> R) throws(UrsaError) -> R {
        let item: Item
        if let one = spare.withLock({ $0.popLast() }) { item = one } else { item = try make() }
        defer { spare.withLock { if $0.count < limit { $0.append(item) } } }
        return try body(item)
    }
}

extension Pool where Item == Inflater {
    /// Inflaters for all readers.
    public static let inflaters = Pool { () throws(UrsaError) in try Inflater() }
}

extension Pool where Item == Zstandard.Decompressor {
    /// Zstandard decompressors for all readers.
    public static let zstandard = Pool { () throws(UrsaError) in try Zstandard.Decompressor() }
}
