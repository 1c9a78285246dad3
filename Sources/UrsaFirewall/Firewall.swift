public import UrsaBase

/// Who may speak to whom: zones, the defaults between them, and the exceptions. Values only; needs no kernel.
///
/// Empty (no zones, policies and rules) means the plain house: guests reach the outside, the outside reaches only what
/// is published, networks don't reach each other, the host's own traffic is left alone.
public struct Firewall: Sendable, Hashable {
    /// Zones in the order of the spec.
    public var zones: [Zone]
    /// Defaults between zones, first fit first.
    public var policies: [Policy]
    /// Exceptions, tried first.
    public var rules: [Rule]
    /// Addresses whose connections to the host are accepted whatever else is said: nobody locks himself out.
    public var admins: [AddressPrefix]

    /// A firewall from its parts.
    public init(
        zones: [Zone] = [], policies: [Policy] = [], rules: [Rule] = [], admins: [AddressPrefix] = []
    ) {
        self.zones = zones
        self.policies = policies
        self.rules = rules
        self.admins = admins
    }

    /// Whether nothing was said, so that the plain house rules hold.
    public var isPlain: Bool { zones.isEmpty && policies.isEmpty && rules.isEmpty }
}
