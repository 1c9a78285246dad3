public import UrsaBase
public import UrsaFirewall

/// One of the two ends of a question `trace FROM → TO`.
public enum TraceEnd: Sendable, Hashable {
    /// A machine by name.
    case machine(String)
    /// The host itself.
    case host
    /// Somebody outside, by whichever way.
    case outside
    /// An address: of a machine, of the host, or of somebody outside.
    case address(IPAddress)
}

/// A question: does a packet get from here to there?
public struct TraceQuery: Sendable, Hashable {
    /// Who sends.
    public var from: TraceEnd
    /// Who is meant.
    public var to: TraceEnd
    /// What for.
    public var traffic: Connection.Traffic
    /// By IPv6, where both ends have both.
    public var isIPv6: Bool

    /// A question.
    public init(from: TraceEnd, to: TraceEnd, traffic: Connection.Traffic, isIPv6: Bool = false) {
        self.from = from
        self.to = to
        self.traffic = traffic
        self.isIPv6 = isIPv6
    }

    /// Reads `web`, `host`, `net`, an address.
    public static func end(_ text: String) -> TraceEnd {
        switch text {
        case "host": .host
        case "net", "outside": .outside
        default: IPAddress(text).map(TraceEnd.address) ?? .machine(text)
        }
    }

    /// Reads a question from the words of a command line: `web db:5432`, `web → db:5432/tcp`, `net web:80`,
    /// `web 1.1.1.1:53/udp`, `web [2001:db8::1]:80`. Without a port it is a ping.
    ///
    /// - Throws: `.usage` with what can't be read.
    public static func parse(_ words: [String], isIPv6: Bool = false) throws(UrsaError) -> TraceQuery {
        var parts: [String] = []
        for word in words {
            // The arrow may stand alone or stick to a word.
            for piece in word.split(whereSeparator: { $0 == "→" || $0 == ">" }) {
                let text = piece.hasSuffix("-") ? String(piece.dropLast()) : String(piece)
                if !text.trimmed.isEmpty { parts.append(text.trimmed) }
            }
        }
        guard parts.count == 2 else {
            throw UrsaError(
                .usage, parts.count < 2 ? "two ends are needed" : "'\(parts[2])' is one end too many",
                place: "ursa net trace", remedy: "for example `ursa net trace web db:5432`")
        }
        let target = try Target(parts[1])
        return TraceQuery(from: end(parts[0]), to: end(target.name), traffic: target.traffic, isIPv6: isIPv6)
    }

    /// `db:5432/udp` in its parts.
    private struct Target {
        var name: String
        var traffic: Connection.Traffic

        init(_ text: String) throws(UrsaError) {
            var rest = text
            var transport: String?
            if let slash = rest.lastIndex(of: "/") {
                transport = String(rest[rest.index(after: slash)...]).lowercased()
                rest = String(rest[..<slash])
            }
            var port: Substring?
            // An IPv6 address has colons of its own: with a port it stands in brackets.
            if rest.hasPrefix("["), let close = rest.firstIndex(of: "]") {
                let after = rest[rest.index(after: close)...]
                if after.hasPrefix(":") { port = after.dropFirst() }
                rest = String(rest[rest.index(after: rest.startIndex)..<close])
            } else if IPAddress(rest) == nil, let colon = rest.lastIndex(of: ":") {
                port = rest[rest.index(after: colon)...]
                rest = String(rest[..<colon])
            }
            name = rest
            if let port {
                guard let number = UInt16(port), number > 0 else {
                    throw UrsaError(
                        .usage, "'\(port)' is no port", place: "TO",
                        remedy: "ports are 1 to 65535: `db:5432`, `db:53/udp`")
                }
                switch transport {
                case nil, "tcp": traffic = .tcp(number)
                case "udp": traffic = .udp(number)
                default:
                    throw UrsaError(
                        .usage, "'\(transport ?? "")' is no protocol with ports", place: "TO",
                        remedy: "use /tcp or /udp")
                }
            } else {
                guard transport == nil || transport == "icmp" else {
                    throw UrsaError(
                        .usage, "\(transport ?? "") needs a port", place: "TO", remedy: "for example `db:5432/tcp`")
                }
                traffic = .icmp
            }
            guard !name.isEmpty else {
                throw UrsaError(.usage, "'\(text)' names nobody", place: "TO", remedy: "for example `db:5432`")
            }
        }
    }
}
