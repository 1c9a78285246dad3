public import UrsaBase

/// A named part of the world around the host: what may reach what is said between zones.
///
/// The names `host` (the host itself) and `any` are taken. A network or an uplink that no zone names is a zone of its
/// own name. Where no uplink is defined, `net` is everything that is none of Ursa's networks.
public struct Zone: Sendable, Hashable {
    /// What belongs to a zone.
    public enum Member: Sendable, Hashable {
        /// All guests of a network.
        case network(String)
        /// Everything behind an uplink.
        case uplink(String)
        /// Addresses behind a network or an uplink: a part that is cut out of the zone that this one belongs to.
        case hosts([AddressPrefix], behind: String)
        /// One machine, by all its addresses. Guests of one network speak to each other past the host, so this tells
        /// only what happens between networks and to the outside.
        case machine(String)
    }

    /// Name: 1–32 characters, lower-case letters, digits and hyphens, starting with a letter.
    public var name: String
    /// What belongs to it, in the order of the spec.
    public var members: [Member]

    /// A zone.
    public init(name: String, members: [Member]) {
        self.name = name
        self.members = members
    }

    /// The zone of the host itself.
    public static let host = "host"
    /// The zone of everything outside where no uplink is defined.
    public static let outside = "net"
    /// In policies and rules: every zone.
    public static let any = "any"
}
