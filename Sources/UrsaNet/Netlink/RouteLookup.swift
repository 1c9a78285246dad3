import CLinux
import Glibc
import UrsaBase

extension NetlinkSocket {
    /// By which link, and by which router, the host would send a packet to an address; nil when it would not.
    func way(to address: IPAddress) throws(UrsaError) -> (link: Int32, gateway: IPAddress?)? {
        var request = NetlinkMessage(Int(RTM_GETROUTE), action: "ask for the way to \(address)")
        var header = rtmsg()
        header.rtm_family = address.family
        header.rtm_dst_len = UInt8(truncatingIfNeeded: address.width)
        request.put(fixed: header)
        request.attribute(Int(RTA_DST.rawValue), address.wire)
        request.tolerated = [ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, EAFNOSUPPORT]
        guard let reply = try self.request(request, dump: false)?.first, reply.type == Int(RTM_NEWROUTE) else {
            return nil
        }
        let attributes = reply.attributes(after: 12)
        guard let link = attributes[Int(RTA_OIF.rawValue)] else { return nil }
        return (
            link.number(at: 0, as: Int32.self),
            attributes[Int(RTA_GATEWAY.rawValue)].flatMap { IPAddress(wire: $0) }
        )
    }
}
