import CLinux
import Glibc
import UrsaBase

/// Requests about a link as a port of a bridge.
enum PortRequest {
    /// Keeps an isolated port from other isolated ones, or lets it (IFLA_BRPORT_ISOLATED of <linux/if_link.h>). The link
    /// must be a port already.
    static func isolate(_ link: Int32, _ isIsolated: Bool, name: String) -> NetlinkMessage {
        var request = NetlinkMessage(Int(RTM_NEWLINK), action: "\(isIsolated ? "isolate" : "open") the port \(name)")
        var header = ifinfomsg()
        header.ifi_index = link
        request.put(fixed: header)
        request.nest(Int(IFLA_LINKINFO)) {
            $0.attribute(Int(IFLA_INFO_SLAVE_KIND), text: "bridge")
            $0.nest(Int(IFLA_INFO_SLAVE_DATA)) {
                $0.attribute(Int(IFLA_BRPORT_ISOLATED), UInt8(isIsolated ? 1 : 0))
            }
        }
        return request
    }

    /// What brings the ports of members to what their options say; ports that are there already.
    static func isolation(_ members: [Member], _ links: [Link]) -> [NetlinkMessage] {
        members.compactMap { member in
            guard !member.tap.isEmpty, let link = links.first(where: { $0.name == member.tap }),
                link.isIsolated != member.port.isIsolated
            else { return nil }
            return isolate(link.index, member.port.isIsolated, name: link.name)
        }
    }
}
