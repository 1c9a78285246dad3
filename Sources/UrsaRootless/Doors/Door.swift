public import UrsaBase

/// A port of the real host that leads into the private one.
public struct Door: Sendable, Hashable, CustomStringConvertible {
    /// UDP instead of TCP.
    public var isUDP: Bool
    /// Address of the real host; nil is every one.
    public var address: IPAddress?
    /// Port on both hosts.
    public var port: UInt16

    /// A door.
    public init(isUDP: Bool, address: IPAddress?, port: UInt16) {
        self.isUDP = isUDP
        self.address = address
        self.port = port
    }

    /// `127.0.0.1:8080/tcp`.
    public var description: String {
        let host =
            switch address {
            case .v4(let address): "\(address):"
            case .v6(let address): "[\(address)]:"
            case nil: ""
            }
        return "\(host)\(port)/\(isUDP ? "udp" : "tcp")"
    }

    var json: JSON {
        .record([
            "udp": .bool(isUDP), "address": address.map { .string("\($0)") }, "port": .integer(Int64(port)),
        ])
    }

    init?(json: JSON) {
        guard let number = json["port"]?.integer, let port = UInt16(exactly: number), port > 0,
            let isUDP = json["udp"]?.bool
        else { return nil }
        self.isUDP = isUDP
        self.port = port
        if let text = json["address"]?.string {
            guard let address = IPAddress(text) else { return nil }
            self.address = address
        }
    }

    /// Where connections go inside: the private host's own published port.
    var target: IPAddress { address ?? .v4(IPv4Address(0x7f00_0001)) }
}
