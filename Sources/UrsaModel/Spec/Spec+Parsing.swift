public import UrsaBase

extension PublishSpec {
    /// Reads `[HOSTADDRESS:]HOSTPORT:GUESTPORT[/tcp|/udp]`; an IPv6 address stands in brackets.
    ///
    /// - Throws: `.usage` that says which part is wrong.
    public init(parsing text: String) throws(UrsaError) {
        func fault(_ why: String, _ remedy: String) -> UrsaError {
            UrsaError(.usage, "\(shown(text)) can't be published: \(why)", remedy: remedy)
        }
        let form = "write HOSTPORT:GUESTPORT, for example 8080:80 or 127.0.0.1:5353:53/udp"
        guard text.utf8.count <= 128 else { throw fault("it is too long", form) }

        var rest = Substring(text)
        var transport = Transport.tcp
        if let slash = rest.lastIndex(of: "/") {
            let word = String(rest[rest.index(after: slash)...])
            guard let known = Transport(rawValue: word) else {
                throw fault("\(shown(word)) is no transport", choiceRemedy(word, Transport.allCases.map(\.rawValue)))
            }
            transport = known
            rest = rest[..<slash]
        }

        var address: IPAddress?
        if rest.first == "[" {
            guard let close = rest.firstIndex(of: "]"), rest[rest.index(after: close)...].first == ":" else {
                throw fault("a bracket is not closed", "write [ADDRESS]:HOSTPORT:GUESTPORT")
            }
            let inner = String(rest[rest.index(after: rest.startIndex)..<close])
            guard let parsed = IPv6Address(inner) else {
                throw fault("\(shown(inner)) is no IPv6 address", "for example [2001:db8::1]:8080:80")
            }
            address = .v6(parsed)
            rest = rest[rest.index(close, offsetBy: 2)...]
        }
        var parts = rest.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        if address == nil, parts.count > 3, IPv6Address(parts.dropLast(2).joined(separator: ":")) != nil {
            throw fault("an IPv6 address needs brackets", "write [\(parts.dropLast(2).joined(separator: ":"))]:…")
        }
        if address == nil, parts.count == 3 {
            let word = parts.removeFirst()
            guard let parsed = IPv4Address(word) else {
                throw fault(
                    "\(shown(word)) is no address", "name an address of this host, for example 127.0.0.1:8080:80")
            }
            address = .v4(parsed)
        }
        if parts.count == 1, let port = PublishSpec.port(parts[0]) {
            throw fault("the port of the \(address == nil ? "host" : "guest") is missing", "write \(port):\(port)")
        }
        guard parts.count == 2 else { throw fault("that is no pair of ports", form) }
        var ports: [UInt16] = []
        for part in parts {
            guard let port = PublishSpec.port(part) else {
                if part.contains("-") {
                    throw fault("ranges of ports are not there yet", "publish each port by itself")
                }
                throw fault(
                    part.isEmpty ? "a port is missing" : "\(shown(part)) is no port", "ports are 1 to 65535; \(form)")
            }
            ports.append(port)
        }
        self.init(hostAddress: address, hostPort: ports[0], guestPort: ports[1], transport: transport)
    }

    /// A port without sign and leading zeros, 1…65535.
    static func port(_ text: String) -> UInt16? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }), text.first != "0"
        else { return nil }
        return UInt16(text)
    }
}

extension NICSpec {
    /// Reads the form of the command line: `lab`, `lab:10.77.0.20`, `lab:10.77.0.20,mac=52:54:00:12:34:56`,
    /// `lab,mac=…`, and the other options of a card: `lab,isolated,anti-spoof,rate=10M,address6=fd00::5,mtu=1400`.
    ///
    /// - Throws: `.usage` that says which part is wrong.
    public init(parsing text: String) throws(UrsaError) {
        func fault(_ why: String, _ remedy: String) -> UrsaError {
            UrsaError(.usage, "\(shown(text)) can't be a network card: \(why)", remedy: remedy)
        }
        let form = "write NETWORK[:ADDRESS][,mac=ADDRESS], for example lab:10.77.0.20"
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard text.utf8.count <= 128, let first = parts.first else { throw fault("it is too long", form) }
        let colon = first.firstIndex(of: ":")
        let name = String(first[..<(colon ?? first.endIndex)])
        if let wrong = NameRules.fault(name, what: "network", length: Limits.networkNameLength) {
            throw fault(wrong.message, name.isEmpty ? form : wrong.remedy)
        }
        self.init(network: name)
        if let colon {
            let word = String(first[first.index(after: colon)...])
            guard let parsed = IPv4Address(word) else { throw fault("\(shown(word)) is no IPv4 address", form) }
            address = parsed
        }
        var seen: Set<String> = address == nil ? [] : ["address"]
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let words = CardFields.all.map(\.key)
            guard words.contains(pair[0]) else {
                throw fault("\(shown(pair[0])) is no option", choiceRemedy(pair[0], words))
            }
            guard seen.insert(pair[0]).inserted else { throw fault("`\(pair[0])` stands twice", form) }
            try take(pair[0], pair.count == 2 ? pair[1] : nil, fault)
        }
    }

    /// Takes one option over; those that are true or false may stand alone.
    private mutating func take(
        _ key: String, _ value: String?, _ fault: (String, String) -> UrsaError
    ) throws(UrsaError) {
        if key == "isolated" || key == "anti-spoof" {
            guard value == nil || value == "true" || value == "false" else {
                throw fault("`\(key)` is true or false", "write `\(key)` alone")
            }
            if key == "isolated" { isIsolated = value != "false" } else { isGuarded = value != "false" }
            return
        }
        guard let value else { throw fault("`\(key)` has no value", "write \(key)=…") }
        func read<T>(_ parsed: T?, _ what: String, _ example: String) throws(UrsaError) -> T {
            guard let parsed else { throw fault("\(shown(value)) is no \(what)", "for example \(key)=\(example)") }
            return parsed
        }
        switch key {
        case "address": address = try read(IPv4Address(value), "IPv4 address", "10.77.0.20")
        case "address6": address6 = try read(IPv6Address(value), "IPv6 address", "fd00:77::20")
        case "mac": mac = try read(MACAddress(value), "Ethernet address", "52:54:00:12:34:56")
        case "rate":
            let rate = try read(BitRate(value), "rate", "10M")
            (sendRate, receiveRate) = (rate, rate)
        default: mtu = try read(PublishSpec.port(value).map(Int.init), "MTU", "1400")
        }
    }
}

extension RestartPolicy {
    /// Reads `no`, `on-failure`, `on-failure:N` (N from 1) or `always`.
    ///
    /// - Throws: `.usage` with the words allowed.
    public init(parsing text: String) throws(UrsaError) {
        switch text {
        case "no": self = .never
        case "on-failure": self = .onFailure(limit: nil)
        case "always": self = .always
        default:
            let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, parts[0] == "on-failure" else {
                let words = ["no", "on-failure", "on-failure:N", "always"]
                let negations = ["never", "false", "off", "none"]
                let remedy = negations.contains(text.lowercased()) ? "did you mean `no`?" : choiceRemedy(text, words)
                throw UrsaError(.usage, "\(shown(text)) is no restart policy", remedy: remedy)
            }
            let digits = parts[1]
            guard (1...7).contains(digits.utf8.count), digits.utf8.allSatisfy({ (48...57).contains($0) }),
                digits.first != "0", let limit = Int(digits), Limits.restarts.contains(limit)
            else {
                throw UrsaError(
                    .usage, "\(shown(text)) is no restart policy: \(shown(String(digits))) is no number of restarts",
                    remedy: "say on-failure:1 to on-failure:\(Limits.restarts.upperBound), or on-failure")
            }
            self = .onFailure(limit: limit)
        }
    }
}

/// A span of time as a person writes it: `30`, `30s`, `2m`, `1h`.
public struct Seconds: Sendable, Hashable, CustomStringConvertible {
    /// The number of seconds.
    public let count: Int

    /// A number of seconds.
    public init(_ count: Int) { self.count = count }

    /// Reads a whole number, alone or with s, m or h; at most nine digits.
    ///
    /// - Throws: `.usage` for anything else.
    public init(parsing text: String) throws(UrsaError) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let factor: Int? =
            switch text.dropFirst(digits.count) {
            case "", "s": 1
            case "m": 60
            case "h": 3600
            default: nil
            }
        guard (1...9).contains(digits.utf8.count), digits == "0" || digits.first != "0", let number = Int(digits),
            let factor
        else {
            throw UrsaError(.usage, "\(shown(text)) is no span of time", remedy: "write seconds, or 30s, 2m, 1h")
        }
        count = number * factor
    }

    /// `30s`.
    public var description: String { "\(count)s" }
}
