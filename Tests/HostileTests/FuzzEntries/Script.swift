/// What a hostile guest or client does, action by action: the bytes of an input, zeros after its end, or whatever a seed
/// gives for so many steps.
///
/// A step is one action: an access to a register or a port, a change of memory that is shared with a device, a chain made
/// available, a doorbell, a reset, something from the host's side, or a request to the monitor.
struct Script {
    private let bytes: [UInt8]?
    private var place = 0
    private var random: SplitMix
    private var word: UInt64 = 0
    private let limit: Int
    /// Steps begun.
    private(set) var steps = 0

    /// From an input.
    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        random = SplitMix(seed: 0)
        limit = .max
    }

    /// The same for the same seed.
    init(seed: UInt64, steps: Int) {
        bytes = nil
        random = SplitMix(seed: seed)
        limit = steps
    }

    /// Whether it has no end of its own, so that what ended by a fault is best begun again at once.
    var isEndless: Bool { bytes == nil }

    /// Begins the next step; false at the end.
    mutating func step() -> Bool {
        guard steps < limit, bytes.map({ place < $0.count }) ?? true else { return false }
        steps += 1
        return true
    }

    mutating func byte() -> UInt8 {
        if let bytes {
            defer { place += 1 }
            return place < bytes.count ? bytes[place] : 0
        }
        if place & 7 == 0 { word = random.next() }
        defer {
            word >>= 8
            place &+= 1
        }
        return UInt8(truncatingIfNeeded: word)
    }
    mutating func short() -> UInt16 { UInt16(byte()) | UInt16(byte()) << 8 }
    mutating func word32() -> UInt32 { UInt32(short()) | UInt32(short()) << 16 }
    /// Mostly an address inside of `memory` bytes, at times any.
    mutating func address(in memory: UInt64) -> UInt64 {
        let kind = byte()
        if kind == 0xff { return UInt64(word32()) | UInt64(word32()) << 32 }
        if kind == 0xfe { return memory &- UInt64(byte()) }
        return UInt64(kind & 3) << 16 | UInt64(short())
    }
}

/// The same numbers in every run (Steele, Lea, Flood: SplitMix64).
struct SplitMix {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    mutating func next(below limit: Int) -> Int { Int(next() % UInt64(limit)) }
}
