import CLinux
import Glibc
import UrsaBase

/// A neighbour whose Ethernet address the kernel knows.
struct Neighbour: Sendable, Hashable {
    var link: Int32
    var address: IPAddress
    var mac: MACAddress

    /// Reads RTM_NEWNEIGH: struct ndmsg (12 bytes: family, pads, i32 link, u16 state, flags, type), NDA_ attributes.
    /// Nil for entries without an Ethernet address and failed ones.
    init?(_ reply: NetlinkReply) {
        guard reply.type == Int(RTM_NEWNEIGH) else { return nil }
        let state = Int32(reply.payload.number(at: 8, as: UInt16.self))
        let known = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY
        let attributes = reply.attributes(after: 12)
        guard state & known != 0, let mac = attributes[Int(NDA_LLADDR)], mac.count == 6,
            let address = attributes[Int(NDA_DST)].flatMap({ IPAddress(wire: $0) })
        else { return nil }
        self.address = address
        link = reply.payload.number(at: 4, as: Int32.self)
        self.mac = MACAddress(mac.reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }

    /// Asks the kernel to find out the Ethernet address, as if a packet were to be sent (NTF_USE).
    static func find(_ address: IPAddress, link: Int32) -> NetlinkMessage {
        var request = NetlinkMessage(
            Int(RTM_NEWNEIGH), flags: NLM_F_CREATE, action: "find the Ethernet address of \(address)")
        var header = ndmsg()
        header.ndm_family = address.family
        header.ndm_ifindex = link
        header.ndm_state = UInt16(NUD_NONE)
        header.ndm_flags = UInt8(NTF_USE)
        request.put(fixed: header)
        request.attribute(Int(NDA_DST), address.wire)
        request.tolerated = [EEXIST]
        return request
    }
}

extension NetlinkSocket {
    /// The neighbours of all links whose Ethernet address is known.
    func neighbours() throws(UrsaError) -> [Neighbour] {
        var request = NetlinkMessage(Int(RTM_GETNEIGH), action: "list the neighbours")
        request.put(fixed: ndmsg())
        return (try self.request(request, dump: true) ?? []).compactMap { Neighbour($0) }
    }
}
