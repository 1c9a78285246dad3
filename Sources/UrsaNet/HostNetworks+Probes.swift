import Glibc
public import UrsaBase
public import UrsaFirewall

/// What shows whether a change of the networks has gone well.
extension HostNetworks {
    /// Whether the host has a way to an address.
    public func hasWay(to address: IPAddress) -> Bool { ((try? NetlinkSocket().way(to: address)) ?? nil) != nil }

    /// Where an address is, seen from the host: behind which network or uplink of the wish.
    public func place(of address: IPAddress, _ wish: HostWish) -> Place {
        guard let socket = try? NetlinkSocket(), let way = (try? socket.way(to: address)) ?? nil,
            let link = (try? socket.links())?.first(where: { $0.index == way.link })
        else { return .outside }
        if let name = home.network(alias: link.alias), wish.networks.contains(where: { $0.name == name }) {
            return .network(name)
        }
        let uplinks = wish.uplinks.filter { $0.interface == link.name }
        // Of two on one interface, the one that the host's own way leads by.
        let chosen = uplinks.first { uplink in way.gateway != nil && uplink.gateway.map { .v4($0) } == way.gateway }
        return (chosen ?? uplinks.first).map { .uplink($0.name) } ?? .outside
    }

    /// Whether the router of an uplink answers on its link within the time; true when it has none that could be asked.
    public func answers(_ uplink: UplinkWish, seconds: Double) -> Bool {
        guard let seen = try? Observer(home: home).routing(), let found = [uplink].found(seen).first?.found,
            let link = found.index, let gateway = found.gateway ?? uplink.gateway, let socket = try? NetlinkSocket()
        else { return false }
        let deadline = Deadline.after(seconds: seconds)
        try? socket.transact([Neighbour.find(.v4(gateway), link: link)])
        while true {
            let known = (try? socket.neighbours()) ?? []
            if known.contains(where: { $0.link == link && $0.address == .v4(gateway) }) { return true }
            if deadline.isPast { return false }
            pause(milliseconds: 10)
        }
    }
}
