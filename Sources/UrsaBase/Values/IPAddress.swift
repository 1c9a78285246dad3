import Glibc

/// An IPv4 address.
public struct IPv4Address: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The address as a number, first octet highest.
    public let value: UInt32
    /// An address from its number.
    public init(_ value: UInt32) { self.value = value }
    /// Reads four decimal octets without leading zeros; nil when malformed.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (48...57).contains($0) }),
                part == "0" || part.first != "0", let octet = UInt8(part)
            else { return nil }
            value = value << 8 | UInt32(octet)
        }
        self.value = value
    }
    /// The four bytes in wire order.
    public var bytes: [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
    /// `10.77.0.1`.
    public var description: String { bytes.map(String.init).joined(separator: ".") }
    /// By number.
    public static func < (a: IPv4Address, b: IPv4Address) -> Bool { a.value < b.value }
    /// 127.0.0.0/8 (RFC 1122).
    public var isLoopback: Bool { value >> 24 == 127 }
}

/// An IPv6 address.
public struct IPv6Address: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The upper 64 bits.
    public let high: UInt64
    /// The lower 64 bits.
    public let low: UInt64
    /// An address from its halves.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
    /// An address from 16 bytes in wire order; nil for another count.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        high = bytes[0..<8].reduce(0) { $0 << 8 | UInt64($1) }
        low = bytes[8..<16].reduce(0) { $0 << 8 | UInt64($1) }
    }
    /// Reads the text forms of RFC 4291 section 2.2, without zone; nil when malformed.
    public init?(_ text: String) {
        var raw = in6_addr()
        guard !text.utf8.contains(0), inet_pton(AF_INET6, text, &raw) == 1 else { return nil }
        self.init(bytes: withUnsafeBytes(of: &raw) { Array($0) })
    }
    /// The 16 bytes in wire order.
    public var bytes: [UInt8] {
        [high, low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * UInt64($0))) } }
    }
    /// The canonical text of RFC 5952.
    public var description: String {
        var raw = in6_addr()
        withUnsafeMutableBytes(of: &raw) { $0.copyBytes(from: bytes) }
        var buffer = [CChar](repeating: 0, count: 64)
        guard inet_ntop(AF_INET6, &raw, &buffer, socklen_t(buffer.count)) != nil else { return "::" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    /// By number.
    public static func < (a: IPv6Address, b: IPv6Address) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

/// An IPv4 or IPv6 address.
public enum IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// An IPv4 address.
    case v4(IPv4Address)
    /// An IPv6 address.
    case v6(IPv6Address)
    /// Reads either kind; nil when malformed.
    public init?(_ text: String) {
        if let address = IPv4Address(text) { self = .v4(address); return }
        guard let address = IPv6Address(text) else { return nil }
        self = .v6(address)
    }
    /// Whether it is of IPv6.
    public var isIPv6: Bool { if case .v6 = self { true } else { false } }
    /// The address's text.
    public var description: String {
        switch self {
        case .v4(let address): address.description
        case .v6(let address): address.description
        }
    }
}

/// An IPv4 subnet: an address whose host bits are zero, and a prefix length.
public struct IPv4Network: Hashable, Sendable, CustomStringConvertible {
    /// The lowest address.
    public let address: IPv4Address
    /// Prefix length, 0…32.
    public let prefix: Int
    /// A subnet; host bits of `address` are cleared. `prefix` must be 0…32.
    public init(_ address: IPv4Address, prefix: Int) {
        precondition((0...32).contains(prefix), "IPv4 prefix length")
        self.prefix = prefix
        self.address = IPv4Address(address.value & IPv4Network.mask(prefix))
    }
    /// Reads `10.77.0.0/24`; nil when malformed or when host bits are set.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(String(parts[0])), let prefix = prefixLength(parts[1], 32),
            address.value & ~IPv4Network.mask(prefix) == 0
        else { return nil }
        self.init(address, prefix: prefix)
    }
    static func mask(_ prefix: Int) -> UInt32 { prefix == 0 ? 0 : ~0 << UInt32(32 - prefix) }
    /// The netmask as an address.
    public var netmask: IPv4Address { IPv4Address(IPv4Network.mask(prefix)) }
    /// The highest address: broadcast.
    public var broadcast: IPv4Address { IPv4Address(address.value | ~IPv4Network.mask(prefix)) }
    /// Number of addresses in it.
    public var count: UInt64 { 1 << UInt64(32 - prefix) }
    /// The address at an offset from the lowest. The offset must be below `count`.
    public subscript(offset: UInt32) -> IPv4Address {
        precondition(UInt64(offset) < count, "offset inside the subnet")
        return IPv4Address(address.value + offset)
    }
    /// Whether an address lies in it.
    public func contains(_ other: IPv4Address) -> Bool { other.value & IPv4Network.mask(prefix) == address.value }
    /// Whether two subnets share an address.
    public func overlaps(_ other: IPv4Network) -> Bool {
        prefix <= other.prefix ? contains(other.address) : other.contains(address)
    }
    /// `10.77.0.0/24`.
    public var description: String { "\(address)/\(prefix)" }
}

/// An IPv6 subnet.
public struct IPv6Network: Hashable, Sendable, CustomStringConvertible {
    /// The lowest address.
    public let address: IPv6Address
    /// Prefix length, 0…128.
    public let prefix: Int
    /// A subnet; host bits of `address` are cleared. `prefix` must be 0…128.
    public init(_ address: IPv6Address, prefix: Int) {
        precondition((0...128).contains(prefix), "IPv6 prefix length")
        self.prefix = prefix
        let mask = IPv6Network.mask(prefix)
        self.address = IPv6Address(high: address.high & mask.0, low: address.low & mask.1)
    }
    /// Reads `fd12:3456::/64`; nil when malformed or when host bits are set.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv6Address(String(parts[0])), let prefix = prefixLength(parts[1], 128)
        else { return nil }
        self.init(address, prefix: prefix)
        guard self.address == address else { return nil }
    }
    private static func mask(_ prefix: Int) -> (UInt64, UInt64) {
        func half(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? ~0 : ~0 << UInt64(64 - bits) }
        return (half(prefix), half(prefix - 64))
    }
    /// The address with these low 64 bits. Only for prefixes up to 64.
    public func address(low: UInt64) -> IPv6Address { IPv6Address(high: address.high, low: address.low | low) }
    /// The address that a card forms by itself from a router advertisement of this subnet (RFC 4291, appendix A:
    /// modified EUI-64); nil when the prefix is longer than 64.
    public func slaacAddress(of mac: MACAddress) -> IPv6Address? {
        guard prefix <= 64 else { return nil }
        let upper = (mac.value >> 24) << 40 ^ 0x0200_0000_0000_0000
        return address(low: upper | 0xff_fe00_0000 | mac.value & 0xff_ffff)
    }
    /// Whether an address lies in it.
    public func contains(_ other: IPv6Address) -> Bool { IPv6Network(other, prefix: prefix).address == address }
    /// Whether two subnets share an address.
    public func overlaps(_ other: IPv6Network) -> Bool {
        prefix <= other.prefix ? contains(other.address) : other.contains(address)
    }
    /// `fd12:3456::/64`.
    public var description: String { "\(address)/\(prefix)" }
}

private func prefixLength(_ text: Substring, _ limit: Int) -> Int? {
    guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }), let value = Int(text),
        value <= limit
    else { return nil }
    return value
}
