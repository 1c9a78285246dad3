import CLinux
import Glibc
import UrsaBase

/// An address of a link with all that the kernel knows of it, to be given to another link and back.
struct SavedAddress: Sendable, Hashable {
    var family: UInt8
    var prefix: UInt8
    /// Universe, site, link, host (rtnetlink(7)).
    var scope: UInt8
    /// IFA_F_….
    var flags: UInt32
    /// Attributes but flags and lifetimes, in their order.
    var attributes: [SavedAttribute]
    /// Seconds of the boot clock at which the address expires, and until which it is preferred; nil: never.
    var expires: Double?
    var preferredUntil: Double?

    /// Flags that can be asked for; the others are states that the kernel finds itself.
    private static let kept = UInt32(
        IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN)

    /// Reads RTM_NEWADDR, see `LinkAddress`; nil for another link's.
    init?(_ reply: NetlinkReply, link: Int32, now: Double) {
        guard reply.type == Int(RTM_NEWADDR), reply.payload.number(at: 4, as: Int32.self) == link else { return nil }
        family = reply.payload.number(at: 0, as: UInt8.self)
        prefix = reply.payload.number(at: 1, as: UInt8.self)
        scope = reply.payload.number(at: 3, as: UInt8.self)
        let all = SavedAttribute.list(reply.payload.dropFirst(8))
        func value(_ type: Int) -> ArraySlice<UInt8>? { all.first { $0.type == type }.map { $0.bytes[...] } }
        flags =
            value(Int(IFA_FLAGS))?.number(at: 0, as: UInt32.self)
            ?? UInt32(reply.payload.number(at: 2, as: UInt8.self))
        flags &= Self.kept
        // struct ifa_cacheinfo: u32 preferred, u32 valid seconds, all ones for ever.
        if let lifetimes = value(Int(IFA_CACHEINFO)) {
            func end(_ seconds: UInt32) -> Double? { seconds == UInt32.max ? nil : now + Double(seconds) }
            preferredUntil = end(lifetimes.number(at: 0, as: UInt32.self))
            expires = end(lifetimes.number(at: 4, as: UInt32.self))
        }
        attributes = all.filter { ![Int(IFA_FLAGS), Int(IFA_CACHEINFO)].contains($0.type) }
        guard address != nil else { return nil }
    }

    /// The address itself.
    var address: IPAddress? {
        let bytes =
            attributes.first { $0.type == Int(IFA_LOCAL) } ?? attributes.first { $0.type == Int(IFA_ADDRESS) }
        return bytes.flatMap { IPAddress(wire: $0.bytes[...]) }
    }

    /// Two with the same key are the same address, whatever is left of their lives.
    var key: AddressPrefix? { address.map { AddressPrefix(address: $0, prefix: Int(prefix)) } }

    private func header(_ link: Int32) -> ifaddrmsg {
        var header = ifaddrmsg()
        header.ifa_family = family
        header.ifa_prefixlen = prefix
        header.ifa_scope = scope
        header.ifa_flags = UInt8(truncatingIfNeeded: flags)
        header.ifa_index = UInt32(bitPattern: link)
        return header
    }

    /// Gives the address to a link. A label that is the old link's name becomes the new one's.
    func addition(to link: Int32, name: String, from old: String, now: Double) -> NetlinkMessage {
        var request = NetlinkMessage(
            Int(RTM_NEWADDR), flags: NLM_F_CREATE | NLM_F_REPLACE,
            action: "give \(key?.description ?? "an address") to \(name)")
        request.put(fixed: header(link))
        for attribute in attributes {
            if attribute.type == Int(IFA_LABEL), attribute.bytes[...].terminatedText == old {
                request.attribute(attribute.type, text: name)
            } else {
                request.attribute(attribute.type, attribute.bytes)
            }
        }
        request.attribute(Int(IFA_FLAGS), flags)
        func left(_ end: Double?) -> UInt32 { end.map { UInt32(max(0, min($0 - now, 4e9))) } ?? UInt32.max }
        // A valid lifetime of zero is refused.
        let valid = max(1, left(expires))
        request.attribute(
            Int(IFA_CACHEINFO),
            withUnsafeBytes(of: (min(left(preferredUntil), valid), valid, UInt32(0), UInt32(0))) { Array($0) })
        return request
    }

    /// Takes the address from a link; a missing one is fine.
    func removal(from link: Int32) -> NetlinkMessage {
        var request = NetlinkMessage(Int(RTM_DELADDR), action: "take \(key?.description ?? "an address") away")
        request.put(fixed: header(link))
        for attribute in attributes where attribute.type == Int(IFA_LOCAL) || attribute.type == Int(IFA_ADDRESS) {
            request.attribute(attribute.type, attribute.bytes)
        }
        request.tolerated = [EADDRNOTAVAIL, ENODEV]
        return request
    }
}

/// An attribute as it came from the kernel, to be sent back.
struct SavedAttribute: Sendable, Hashable {
    var type: Int
    var bytes: [UInt8]

    /// A row of attributes in their order, see `netlinkAttributes`.
    static func list(_ bytes: ArraySlice<UInt8>) -> [SavedAttribute] {
        var result: [SavedAttribute] = []
        var rest = bytes
        while rest.count >= 4 {
            let length = Int(rest.number(at: 0, as: UInt16.self))
            guard length >= 4, length <= rest.count else { break }
            let value = rest[(rest.startIndex + 4)..<(rest.startIndex + length)]
            result.append(
                SavedAttribute(type: Int(rest.number(at: 2, as: UInt16.self) & 0x3fff), bytes: Array(value)))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return result
    }
}
