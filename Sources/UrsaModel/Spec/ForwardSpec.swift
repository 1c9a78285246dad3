public import UrsaBase

/// Ports of the host that lead into a machine, said beside the uplinks and the firewall: on one uplink, as a range, for
/// some sources only. A machine's own `publish` is the short form.
public struct ForwardSpec: Sendable, Hashable {
    /// Name of the uplink that the ports are on; nil: all of the host, or `address`.
    public var uplink: String?
    /// Address of the host that the ports are on; nil: every one.
    public var address: IPAddress?
    /// Transport protocol.
    public var transport: PublishSpec.Transport
    /// Ports on the host, 1…65535.
    public var ports: ClosedRange<UInt16>
    /// Name of the machine.
    public var machine: String
    /// Port in the machine that the first port leads to, the others to the following ones; nil: the same numbers.
    public var toPort: UInt16?
    /// Who may use it; empty: everybody.
    public var sources: [AddressPrefix]

    /// A forward.
    public init(
        uplink: String? = nil, address: IPAddress? = nil, transport: PublishSpec.Transport = .tcp,
        ports: ClosedRange<UInt16>, to machine: String, port toPort: UInt16? = nil, sources: [AddressPrefix] = []
    ) {
        self.uplink = uplink
        self.address = address
        self.transport = transport
        self.ports = ports
        self.machine = machine
        self.toPort = toPort
        self.sources = sources
    }

    /// Port in the machine that a port of the host leads to.
    public func guestPort(of port: UInt16) -> UInt16 { (toPort ?? ports.lowerBound) &+ (port &- ports.lowerBound) }
}
