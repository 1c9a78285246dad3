import CLinux
import Glibc
import UrsaBase

/// A route over a link with all that the kernel knows of it, to be led over another link and back.
///
/// Routes that the kernel makes by itself for addresses are not among them: they come and go with those.
struct SavedRoute: Sendable, Hashable {
    /// struct rtmsg, 12 bytes.
    var header: [UInt8]
    /// Attributes in their order, without those that only tell of the route's past.
    var attributes: [SavedAttribute]
    /// Seconds of the boot clock at which it expires (routes that a router advertised); nil: never.
    var expires: Double?

    var family: Int32 { Int32(header[0]) }
    var isIPv6: Bool { family == AF_INET6 }
    /// Whether it leads to its destination without another router: those must be there before the others.
    var isDirect: Bool {
        !attributes.contains {
            [Int(RTA_GATEWAY.rawValue), Int(RTA_VIA.rawValue), Int(RTA_MULTIPATH.rawValue)].contains($0.type)
        }
    }
    /// Whether it is made of objects of its own (ip-nexthop(8)), which are bound to their link.
    var hasNexthopObject: Bool { attributes.contains { $0.type == Int(RTA_NH_ID.rawValue) } }

    /// For messages: `default by 192.0.2.1`.
    var words: String {
        func address(_ type: rtattr_type_t) -> IPAddress? {
            attributes.first { $0.type == Int(type.rawValue) }.flatMap { IPAddress(wire: $0.bytes[...]) }
        }
        let destination = address(RTA_DST).map { "\($0)/\(header[1])" } ?? "default"
        return destination + (address(RTA_GATEWAY).map { " by \($0)" } ?? "")
    }

    /// Reads RTM_NEWROUTE, see `Route`; nil for routes that don't go over the link and for the kernel's own.
    init?(_ reply: NetlinkReply, link: Int32, now: Double) {
        guard reply.type == Int(RTM_NEWROUTE), reply.payload.count >= 12 else { return nil }
        header = Array(reply.payload.prefix(12))
        // Protocol 2 is the kernel, flag 0x200 marks a route's cached copy.
        guard header[5] != UInt8(RTPROT_KERNEL), reply.payload.number(at: 8, as: UInt32.self) & 0x200 == 0 else {
            return nil
        }
        let all = SavedAttribute.list(reply.payload.dropFirst(12))
        let goesOver = all.contains { attribute in
            switch attribute.type {
            case Int(RTA_OIF.rawValue): attribute.bytes[...].number(at: 0, as: Int32.self) == link
            case Int(RTA_MULTIPATH.rawValue): Self.nexthops(attribute.bytes).contains { $0.link == link }
            default: false
            }
        }
        guard goesOver else { return nil }
        // struct rta_cacheinfo: u32 references, u32 last use, i32 expiry in hundredths of a second, ….
        if let past = all.first(where: { $0.type == Int(RTA_CACHEINFO.rawValue) }) {
            let left = past.bytes[...].number(at: 8, as: Int32.self)
            if left > 0 { expires = now + Double(left) / 100 }
        }
        attributes = all.filter { ![Int(RTA_CACHEINFO.rawValue), Int(RTA_EXPIRES.rawValue)].contains($0.type) }
        setFlags(reply.payload.number(at: 8, as: UInt32.self) & UInt32(RTNH_F_ONLINK))
    }

    private mutating func setFlags(_ flags: UInt32) {
        withUnsafeBytes(of: flags) { for (offset, byte) in $0.enumerated() { header[8 + offset] = byte } }
    }

    /// Parts of a multipath route: struct rtnexthop (u16 length, u8 flags, u8 hops, i32 link), attributes.
    private static func nexthops(_ bytes: [UInt8]) -> [(place: Int, link: Int32)] {
        var result: [(place: Int, link: Int32)] = []
        var place = 0
        while place + 8 <= bytes.count {
            let length = Int(bytes[place...].number(at: 0, as: UInt16.self))
            guard length >= 8, place + length <= bytes.count else { break }
            result.append((place, bytes[place...].number(at: 4, as: Int32.self)))
            place += (length + 3) & ~3
        }
        return result
    }

    /// The same route with one link in the place of another.
    func over(_ new: Int32, insteadOf old: Int32) -> SavedRoute {
        var copy = self
        for index in copy.attributes.indices {
            switch copy.attributes[index].type {
            case Int(RTA_OIF.rawValue):
                guard copy.attributes[index].bytes[...].number(at: 0, as: Int32.self) == old else { continue }
                copy.attributes[index].bytes = withUnsafeBytes(of: new) { Array($0) }
            case Int(RTA_MULTIPATH.rawValue):
                for hop in Self.nexthops(copy.attributes[index].bytes) {
                    // Flags that say "dead" or "no carrier" are states.
                    copy.attributes[index].bytes[hop.place + 2] &= UInt8(RTNH_F_ONLINK)
                    guard hop.link == old else { continue }
                    let bytes = withUnsafeBytes(of: new) { Array($0) }
                    copy.attributes[index].bytes.replaceSubrange((hop.place + 4)..<(hop.place + 8), with: bytes)
                }
            default: break
            }
        }
        return copy
    }

    private func request(_ type: Int, flags: Int32, _ action: String) -> NetlinkMessage {
        var request = NetlinkMessage(type, flags: flags, action: "\(action) the route \(words)")
        for byte in header { request.put(byte) }
        for attribute in attributes { request.attribute(attribute.type, attribute.bytes) }
        return request
    }

    /// Adds the route; an equal one that is there is replaced (IPv4) or fine (IPv6).
    func addition(now: Double) -> NetlinkMessage {
        var request = request(
            Int(RTM_NEWROUTE), flags: isIPv6 ? NLM_F_CREATE : NLM_F_CREATE | NLM_F_REPLACE, "lead over another link")
        if isIPv6, let expires {
            request.attribute(Int(RTA_EXPIRES.rawValue), UInt32(max(1, min(expires - now, 4e9))))
        }
        request.tolerated = [EEXIST]
        return request
    }

    /// Removes just this route; a missing one is fine.
    var removal: NetlinkMessage {
        var request = request(Int(RTM_DELROUTE), flags: 0, "remove")
        request.tolerated = [ESRCH, ENODEV]
        return request
    }
}
