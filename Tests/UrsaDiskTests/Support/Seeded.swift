import Glibc
import UrsaBase

/// Random numbers that one number brings back (SplitMix64).
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
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

    mutating func pick<Value>(_ values: [Value]) -> Value { values[Int(next() % UInt64(values.count))] }
    mutating func chance(_ one: Int, in many: Int) -> Bool { next() % UInt64(many) < UInt64(one) }
    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(1, limit))) }

    /// The number that the environment gives, or a default, `slow` where slow tests are wanted: `URSA_SEED=7 swift test …` repeats one run.
    static func environment(_ name: String, _ usual: Int, slow: Int? = nil) -> Int {
        let usual = getenv("URSA_SLOW") == nil ? usual : slow ?? usual
        return getenv(name).flatMap { Int(String(cString: $0)) } ?? usual
    }
}
