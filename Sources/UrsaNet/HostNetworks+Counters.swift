public import UrsaBase

/// What has passed a link, as the kernel counts it (struct rtnl_link_stats64 of <linux/if_link.h>).
public struct LinkCounters: Sendable, Hashable {
    /// Bytes that came in by the link.
    public var received: UInt64
    /// Bytes that went out by the link.
    public var sent: UInt64

    /// Counters.
    public init(received: UInt64, sent: UInt64) {
        self.received = received
        self.sent = sent
    }
}

extension HostNetworks {
    /// Counters of all links of a network by name, machines' taps among them; empty when the network is not up.
    ///
    /// Seen from the host: what a tap has sent, its guest has received.
    public func counters(network: String) -> [String: LinkCounters] {
        let links = try? place(network)?.run { () throws(UrsaError) in try NetlinkSocket().links() }
        return Dictionary((links ?? []).map { ($0.name, $0.counters) }, uniquingKeysWith: { first, _ in first })
    }

    /// The network that a step of `plan` belongs to; nil for steps of the whole host.
    public static func network(of step: any Step) -> String? { (step as? any NetStep)?.network }
}
