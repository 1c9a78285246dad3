import UrsaBase

/// The host answers ARP and neighbour discovery for guests on a LAN, once it is sure that nobody there has their
/// addresses.
struct PublishOnLAN: NetStep {
    let link: String
    let addresses: [IPAddress]
    let networks: [String]
    let phase = Phase.make
    let network: String? = nil
    var lane: String { "lan \(link)" }

    var line: String {
        let shown = addresses.prefix(4).map(\.description).joined(separator: ", ")
        let more = addresses.count > 4 ? " and \(addresses.count - 4) more" : ""
        return "+ \(link) answers for \(shown)\(more) (network \(networks.joined(separator: ", ")))"
    }

    func apply() throws(UrsaError) {
        let socket = try NetlinkSocket()
        guard let interface = try socket.link(link) else {
            throw UrsaError(.notFound, "the host has no interface \(link)")
        }
        let there = Set(try socket.published().filter { $0.link == interface.index }.map(\.address))
        let new = addresses.filter { !there.contains($0) }
        guard !new.isEmpty else { return }
        let holders = try AddressProbe(link: interface).holders(of: new)
        if let error = UrsaError.all(
            holders.map { address, mac in
                UrsaError(
                    .conflict, "the address \(address) is in use on the LAN of \(link), by \(mac)",
                    place: "network \(networks.joined(separator: ", "))",
                    remedy: "give the machine an address that nobody there has")
            })
        {
            throw error
        }
        try socket.transact(new.map { RouteRequest.publish($0, link: interface.index) })
        // Whoever knew the address at another place learns the new one now.
        AddressProbe(link: interface).announce(new)
    }

    func undo() throws(UrsaError) {
        let socket = try NetlinkSocket()
        guard let interface = try socket.link(link) else { return }
        try socket.transact(addresses.map { RouteRequest.unpublish($0, link: interface.index) })
    }
}

/// The host stops answering for guests that are gone.
struct StopPublishing: NetStep {
    let entries: [LANEntry]
    let phase = Phase.remove
    let network: String? = nil
    let lane = "lan"

    var line: String {
        let shown = entries.prefix(4).map { "\($0.address) on \($0.link)" }.joined(separator: ", ")
        return "- answers for \(shown)\(entries.count > 4 ? " and \(entries.count - 4) more" : "")"
    }

    func apply() throws(UrsaError) {
        let socket = try NetlinkSocket()
        let links = Dictionary(
            try socket.links().map { ($0.name, $0.index) }, uniquingKeysWith: { first, _ in first })
        try socket.transact(
            entries.compactMap { entry in
                links[entry.link].map { RouteRequest.unpublish(entry.address, link: $0) }
            })
    }

    func undo() throws(UrsaError) {
        let socket = try NetlinkSocket()
        let links = Dictionary(
            try socket.links().map { ($0.name, $0.index) }, uniquingKeysWith: { first, _ in first })
        try socket.transact(
            entries.compactMap { entry in
                links[entry.link].map { RouteRequest.publish(entry.address, link: $0) }
            })
    }
}
