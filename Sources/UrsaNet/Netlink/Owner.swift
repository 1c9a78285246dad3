/// The number that says who made a route, a rule or a proxy entry (`/etc/iproute2/rt_protos`; rtnetlink(7),
/// `rtm_protocol`): 85, `U`, is Ursa's.
enum KernelOwner {
    static let ursa: UInt8 = 85
}
