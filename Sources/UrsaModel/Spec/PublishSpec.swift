public import UrsaBase

/// A port of the host that leads into a machine: `[HOSTADDRESS:]HOSTPORT:GUESTPORT[/tcp|/udp]`.
public struct PublishSpec: Sendable, Hashable, CustomStringConvertible {
    /// Transport protocol.
    public enum Transport: String, Sendable, Hashable, CaseIterable {
        /// TCP.
        case tcp
        /// UDP.
        case udp
    }
    /// Address of the host to listen on; nil is every address.
    public var hostAddress: IPAddress?
    /// Port on the host, 1…65535.
    public var hostPort: UInt16
    /// Port in the machine, 1…65535.
    public var guestPort: UInt16
    /// Transport protocol.
    public var transport: Transport

    /// A published port.
    public init(hostAddress: IPAddress? = nil, hostPort: UInt16, guestPort: UInt16, transport: Transport = .tcp) {
        self.hostAddress = hostAddress
        self.hostPort = hostPort
        self.guestPort = guestPort
        self.transport = transport
    }

    /// The text form, which `init(parsing:)` reads back.
    public var description: String {
        let address =
            switch hostAddress {
            case .v4(let address): "\(address):"
            case .v6(let address): "[\(address)]:"
            case nil: ""
            }
        return "\(address)\(hostPort):\(guestPort)\(transport == .udp ? "/udp" : "")"
    }
}
