/// Random numbers that one number brings back, so that a failure can be had again (Steele, Lea, Flood: SplitMix64).
public struct Seeded: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// The same numbers for the same seed.
    public init(_ seed: UInt64) { state = seed }

    /// The next of them, any of 2^64.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    /// One from 0 to `limit`, that itself not.
    public mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(1, limit))) }
    /// True so many times of so many.
    public mutating func chance(_ part: Int, in whole: Int) -> Bool { below(whole) < part }
    /// One of these, of which there is at least one.
    public mutating func pick<Value>(_ values: [Value]) -> Value { values[below(values.count)] }

    /// So many bytes of noise.
    public mutating func bytes(_ count: Int) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: count)
        result.withUnsafeMutableBytes { buffer in
            var offset = 0
            while offset + 8 <= count {
                buffer.storeBytes(of: next(), toByteOffset: offset, as: UInt64.self)
                offset += 8
            }
            var word = next()
            while offset < count {
                buffer[offset] = UInt8(truncatingIfNeeded: word)
                word >>= 8
                offset += 1
            }
        }
        return result
    }
}
