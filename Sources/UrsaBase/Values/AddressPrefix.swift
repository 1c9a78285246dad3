/// An address with a prefix length: of a link, as a route's destination, or a range of addresses.
public struct AddressPrefix: Sendable, Hashable, CustomStringConvertible {
    /// The address; host bits may be set.
    public var address: IPAddress
    /// Prefix length, 0…32 or 0…128.
    public var prefix: Int

    /// An address with a prefix length, which must be one of the address's family.
    public init(address: IPAddress, prefix: Int) {
        self.address = address
        self.prefix = prefix
    }

    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or an address alone, which stands for itself only; nil when malformed or
    /// when host bits are set.
    public init?(_ text: String) {
        if let address = IPAddress(text) {
            self.init(address)
        } else if let network = IPv4Network(text) {
            self.init(address: .v4(network.address), prefix: network.prefix)
        } else if let network = IPv6Network(text) {
            self.init(address: .v6(network.address), prefix: network.prefix)
        } else {
            return nil
        }
    }

    /// One address alone.
    public init(_ address: IPAddress) {
        self.address = address
        prefix = address.isIPv6 ? 128 : 32
    }

    /// Whether the address lies in the range.
    public func contains(_ other: IPAddress) -> Bool {
        switch (address, other) {
        case (.v4(let mine), .v4(let other)): IPv4Network(mine, prefix: prefix).contains(other)
        case (.v6(let mine), .v6(let other)): IPv6Network(mine, prefix: prefix).contains(other)
        default: false
        }
    }

    /// Whether the ranges share an address.
    public func overlaps(_ other: AddressPrefix) -> Bool {
        prefix <= other.prefix ? contains(other.address) : other.contains(address)
    }

    /// `192.0.2.0/24`.
    public var description: String { "\(address)/\(prefix)" }
}
