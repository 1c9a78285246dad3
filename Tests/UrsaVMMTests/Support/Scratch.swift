import Glibc
import UrsaBase

/// A folder of a test's own, removed with the value.
final class Scratch: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/ursa-vmm-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw UrsaError.system(.current, "make a test folder") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? File.removeTree(path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }
}

/// The same numbers in every run (Steele, Lea, Flood: SplitMix64).
struct Seeded {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}

/// Whether a program is installed.
func has(_ program: String) -> Bool { Path.program(program) != nil }
