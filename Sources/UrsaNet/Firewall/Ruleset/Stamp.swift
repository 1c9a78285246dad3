import UrsaBase

/// What tells which elements a table has without reading them all: a number and a digest, an element of the set `stamp`.
///
/// Each change of elements adds a stamp with the next number; the highest one counts. The former ones go with the next
/// change that takes something out anyway, because the kernel lets who deletes wait (10 to 15 ms), and who only adds not.
struct Stamp: Sendable, Hashable, Comparable {
    /// From 1.
    let number: UInt32
    /// Of all elements of all other sets, in the form of an address so that a set of nftables can hold it.
    let digest: IPv6Address

    /// Most stamps that a table has: then the former ones are taken out.
    static let limit = 32

    /// As nft writes it.
    var element: String { "0x\(hexadecimal(bytes(number))) . \(digest)" }

    static func < (a: Stamp, b: Stamp) -> Bool { a.number < b.number }

    private func bytes(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian, Array.init) }
}

extension NamedSet {
    /// The name of the set of stamps, the last one of a table.
    static let stampName = "stamp"

    /// The set of stamps with these.
    static func stamps(_ stamps: [Stamp]) -> NamedSet {
        NamedSet(name: stampName, key: "mark . ipv6_addr", elements: stamps.map(\.element))
    }
}
