import UrsaBase

/// What a frame says, in one line for a person. Every byte is a stranger's: each read is bounds-checked, lengths that
/// lie are cut, and texts never leave printable ASCII.
///
/// Formats: Ethernet IEEE 802.3, ARP RFC 826, IPv4 RFC 791, IPv6 RFC 8200, TCP RFC 9293, UDP RFC 768, ICMP RFC 792,
/// ICMPv6 RFC 4443 and RFC 4861, DHCP RFC 2131, DNS RFC 1035.
public enum FrameText {
    /// The line, without time and link.
    public static func line(_ frame: CapturedFrame) -> String {
        var cursor = Cursor(frame.bytes[...])
        guard let target = cursor.mac(), let source = cursor.mac(), var type = cursor.word() else {
            return "\(frame.length) bytes, too short for Ethernet"
        }
        var tag = ""
        // 802.1Q and 802.1ad tags.
        while type == 0x8100 || type == 0x88a8, tag.count < 40, let number = cursor.word(), let inner = cursor.word() {
            tag += "vlan \(number & 0xfff) "
            type = inner
        }
        let ends = { (what: String) in "\(tag)\(source) > \(target) \(what)" }
        switch type {
        case 0x0806: return tag + arp(&cursor)
        case 0x0800: return tag + (ipv4(&cursor) ?? ends("IPv4, cut short"))
        case 0x86dd: return tag + (ipv6(&cursor) ?? ends("IPv6, cut short"))
        case 0..<0x600: return ends("802.3, \(frame.length) bytes")
        default: return ends("type 0x\(hex(type)), \(frame.length) bytes")
        }
    }

    private static func arp(_ cursor: inout Cursor) -> String {
        guard cursor.word() == 1, cursor.word() == 0x0800, cursor.byte() == 6, cursor.byte() == 4,
            let operation = cursor.word(), let mac = cursor.mac(), let from = cursor.ipv4(), cursor.mac() != nil,
            let target = cursor.ipv4()
        else { return "ARP of an unknown kind" }
        switch operation {
        case 1 where from == target: return "ARP \(from) is at \(mac), says its holder"
        case 1: return "ARP who has \(target)? tell \(from == IPv4Address(0) ? "\(mac)" : "\(from)")"
        case 2: return "ARP \(from) is at \(mac)"
        default: return "ARP operation \(operation) from \(mac)"
        }
    }

    private static func ipv4(_ cursor: inout Cursor) -> String? {
        let start = cursor
        guard let first = cursor.byte(), cursor.skip(1), let total = cursor.word(), cursor.skip(2),
            let fragment = cursor.word(), cursor.skip(1), let proto = cursor.byte(), cursor.skip(2),
            let source = cursor.ipv4(), let target = cursor.ipv4(), first >> 4 == 4
        else { return nil }
        let header = Int(first & 15) * 4
        guard header >= 20, var payload = start.from(header) else { return "IPv4 \(source) > \(target), bad header" }
        payload.limit(Int(total) - header)
        if fragment & 0x1fff != 0 {
            return "IPv4 \(source) > \(target) fragment at \(Int(fragment & 0x1fff) * 8) of \(name(proto))"
        }
        return transport(proto, &payload, .v4(source), .v4(target), length: max(0, Int(total) - header))
    }

    private static func ipv6(_ cursor: inout Cursor) -> String? {
        guard let first = cursor.byte(), cursor.skip(3), let length = cursor.word(), var next = cursor.byte(),
            cursor.skip(1), let source = cursor.ipv6(), let target = cursor.ipv6(), first >> 4 == 6
        else { return nil }
        var left = Int(length)
        cursor.limit(left)
        // Extension headers: hop-by-hop, routing, destination options; 8 are more than anybody sends.
        var count = 0
        while [0, 43, 60].contains(next), count < 8, let following = cursor.byte(), let size = cursor.byte(),
            cursor.skip(Int(size) * 8 + 6)
        {
            next = following
            left -= Int(size) * 8 + 8
            count += 1
        }
        if next == 44 { return "IPv6 \(source) > \(target) fragment" }
        return transport(next, &cursor, .v6(source), .v6(target), length: max(0, left))
    }

    private static func transport(
        _ proto: UInt8, _ cursor: inout Cursor, _ source: IPAddress, _ target: IPAddress, length: Int
    ) -> String {
        switch proto {
        case 6:
            guard let from = cursor.word(), let to = cursor.word(), cursor.skip(8), let offset = cursor.byte(),
                let flags = cursor.byte()
            else { break }
            let names = zip([(2, "SYN"), (16, "ACK"), (1, "FIN"), (4, "RST"), (8, "PSH")], 0...).compactMap {
                flags & UInt8($0.0.0) != 0 ? $0.0.1 : nil
            }
            let data = max(0, length - Int(offset >> 4) * 4)
            return "TCP \(place(source, from)) > \(place(target, to)) \(names.joined(separator: "+"))"
                + (data > 0 ? ", \(data) bytes" : "")
        case 17:
            guard let from = cursor.word(), let to = cursor.word(), cursor.skip(4) else { break }
            let ends = "\(place(source, from)) > \(place(target, to))"
            if from == 67 || from == 68, let words = dhcp(cursor) { return "DHCP \(words)" }
            if from == 53 || to == 53, let words = dns(cursor) { return "DNS \(ends) \(words)" }
            return "UDP \(ends), \(max(0, length - 8)) bytes"
        case 1: return "ICMP \(source) > \(target) \(icmp(&cursor))"
        case 58: return "ICMPv6 \(source) > \(target) \(icmp6(&cursor))"
        default: return "\(source) > \(target) \(name(proto)), \(length) bytes"
        }
        return "\(name(proto)) \(source) > \(target), cut short"
    }

    private static func icmp(_ cursor: inout Cursor) -> String {
        guard let type = cursor.byte(), let code = cursor.byte(), cursor.skip(2) else { return "cut short" }
        switch type {
        case 0, 8:
            let words = type == 8 ? "echo request" : "echo reply"
            guard let id = cursor.word(), let number = cursor.word() else { return words }
            return "\(words) id \(id) seq \(number)"
        case 3:
            let reasons: [UInt8: String] = [
                0: "network", 1: "host", 2: "protocol", 3: "port", 9: "network (by rule)", 10: "host (by rule)",
                13: "by rule",
            ]
            if code == 4 {
                let mtu = cursor.skip(2) ? cursor.word() : nil
                return "too big, mtu \(mtu.map { String($0) } ?? "?")"
            }
            return "unreachable: \(reasons[code] ?? "code \(code)")"
        case 5: return "redirect"
        case 11: return "time exceeded"
        default: return "type \(type) code \(code)"
        }
    }

    private static func icmp6(_ cursor: inout Cursor) -> String {
        guard let type = cursor.byte(), let code = cursor.byte(), cursor.skip(2) else { return "cut short" }
        switch type {
        case 1: return "unreachable: \(code == 1 || code == 5 ? "by rule" : code == 4 ? "port" : "code \(code)")"
        case 2: return "too big, mtu \(cursor.long().map { String($0) } ?? "?")"
        case 3: return "time exceeded"
        case 128, 129:
            let words = type == 128 ? "echo request" : "echo reply"
            guard let id = cursor.word(), let number = cursor.word() else { return words }
            return "\(words) id \(id) seq \(number)"
        case 133: return "router solicitation"
        case 134: return "router advertisement"
        case 135, 136:
            guard cursor.skip(4), let target = cursor.ipv6() else { return "neighbour discovery, cut short" }
            return type == 135 ? "who has \(target)?" : "\(target) is here"
        case 137: return "redirect"
        case 130...132, 143: return "multicast listeners"
        default: return "type \(type) code \(code)"
        }
    }

    /// BOOTP's fixed 236 bytes, the magic number, options.
    private static func dhcp(_ start: Cursor) -> String? {
        var cursor = start
        guard cursor.skip(4), let id = cursor.long(), cursor.skip(8), let given = cursor.ipv4(), cursor.skip(8),
            let mac = cursor.mac(), cursor.skip(10 + 64 + 128), cursor.long() == 0x6382_5363
        else { return nil }
        let kinds = [
            "", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform",
        ]
        var kind = "message"
        var asked: IPv4Address?
        var host = ""
        while let code = cursor.byte(), code != 255 {
            if code == 0 { continue }
            guard let size = cursor.byte(), var value = cursor.take(Int(size)) else { break }
            switch code {
            case 53: if let type = value.byte(), type < kinds.count, type > 0 { kind = kinds[Int(type)] }
            case 50: asked = value.ipv4()
            case 12: host = value.text(limit: 64)
            default: break
            }
        }
        let address = given == IPv4Address(0) ? asked.map { " for \($0)" } ?? "" : " \(given)"
        return "\(kind)\(address) \(mac)\(host.isEmpty ? "" : " (\(host))") id \(hex(id))"
    }

    /// The header and the first question.
    private static func dns(_ start: Cursor) -> String? {
        var cursor = start
        guard cursor.skip(2), let flags = cursor.word(), let questions = cursor.word(), let answers = cursor.word(),
            cursor.skip(4), questions > 0
        else { return nil }
        var labels: [String] = []
        while let size = cursor.byte(), size > 0 {
            guard size < 64, labels.count < 32, var label = cursor.take(Int(size)) else { return nil }
            labels.append(label.text(limit: 63))
        }
        guard let type = cursor.word() else { return nil }
        let types: [UInt16: String] = [1: "A", 28: "AAAA", 12: "PTR", 5: "CNAME", 15: "MX", 16: "TXT", 33: "SRV"]
        let question = "\(types[type] ?? "type \(type)") \(labels.isEmpty ? "." : labels.joined(separator: "."))"
        guard flags & 0x8000 != 0 else { return question + "?" }
        switch flags & 15 {
        case 0: return "\(question): \(answers) answer\(answers == 1 ? "" : "s")"
        case 3: return "\(question): no such name"
        default: return "\(question): error \(flags & 15)"
        }
    }

    private static func place(_ address: IPAddress, _ port: UInt16) -> String {
        address.isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
    }

    private static func name(_ proto: UInt8) -> String {
        let names: [UInt8: String] = [
            1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 58: "ICMPv6", 132: "SCTP",
        ]
        return names[proto] ?? "protocol \(proto)"
    }

    private static func hex(_ value: some FixedWidthInteger) -> String { String(value, radix: 16) }
}

/// Reads bytes one after the other; nil or false past the end.
struct Cursor {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func byte() -> UInt8? { rest.popFirst() }
    mutating func word() -> UInt16? { number(2).map { UInt16($0) } }
    mutating func long() -> UInt32? { number(4).map { UInt32($0) } }
    mutating func mac() -> MACAddress? { number(6).map { MACAddress($0) } }
    mutating func ipv4() -> IPv4Address? { number(4).map { IPv4Address(UInt32($0)) } }
    mutating func ipv6() -> IPv6Address? {
        guard rest.count >= 16, let high = number(8), let low = number(8) else { return nil }
        return IPv6Address(high: high, low: low)
    }

    private mutating func number(_ count: Int) -> UInt64? {
        guard rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count).reduce(0) { $0 << 8 | UInt64($1) }
    }

    mutating func skip(_ count: Int) -> Bool {
        guard count >= 0, rest.count >= count else { return false }
        rest = rest.dropFirst(count)
        return true
    }

    /// The next `count` bytes as a reader of their own.
    mutating func take(_ count: Int) -> Cursor? {
        guard count >= 0, rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return Cursor(rest.prefix(count))
    }

    /// A reader that starts so many bytes further on.
    func from(_ offset: Int) -> Cursor? {
        guard offset >= 0, rest.count >= offset else { return nil }
        return Cursor(rest.dropFirst(offset))
    }

    /// Forgets what comes after `count` bytes: padding of the frame.
    mutating func limit(_ count: Int) { rest = rest.prefix(max(0, count)) }

    /// The rest as text; what is not printable ASCII becomes `?`.
    mutating func text(limit: Int) -> String {
        String(decoding: rest.prefix(limit).map { (33...126).contains($0) ? $0 : 63 }, as: UTF8.self)
    }
}
