import CLinux
import Glibc
import UrsaBase

/// A guest of our own for a moment: a namespace with a card on a network's bridge and a spare address, from which real
/// programs' calls are made. The kernel takes it apart when its port is deleted and the value goes away.
final class ProbeGuest: Sendable {
    /// Its addresses, IPv4 first.
    let addresses: [IPAddress]
    /// Its card's Ethernet address.
    let mac: MACAddress
    private let namespace: SharedFD
    private let place: NetworkPlace
    private let port: String

    /// Plugs a guest into a network. `number` tells several apart, 0…9.
    init(_ home: HomeMark, _ wish: NetworkWish, number: Int) throws(UrsaError) {
        let free = try ProbeGuest.spare(wish, number)
        addresses = free
        let mac = home.mac("probe \(wish.name) \(number)")
        self.mac = MACAddress(mac.reduce(0) { $0 << 8 | UInt64($1) })
        guard let place = home.place(wish.name) else {
            throw UrsaError(.notFound, "the network \(wish.name) is not up")
        }
        self.place = place
        port = "uprobe\(number)"
        let raw = try OSThread.run { () throws(UrsaError) -> Int32 in
            try check(clinux_unshare_network(), "make a network namespace for a probe")
            return try NetworkNamespace.current().release()
        }
        namespace = SharedFD(OwnedFD(raw))
        let name = port
        try place.run { () throws(UrsaError) in
            let socket = try NetlinkSocket()
            guard let bridge = try socket.link(place.bridge) else {
                throw UrsaError(.notFound, "the network \(wish.name) has lost its bridge", remedy: "`ursa settle`")
            }
            let portMAC: [UInt8] = [0xfe, 0x75, 0x72, 0x73, 0x62, UInt8(truncatingIfNeeded: number)]
            try socket.transact([
                LinkRequest.delete(.name(name)),
                LinkRequest.addVeth(
                    name, mac: portMAC, peer: "eth0", peerMAC: mac, peerNamespace: raw, mtu: bridge.mtu),
                LinkRequest.noAutomaticIPv6(.name(name)),
                LinkRequest.set(.name(name), up: true, master: bridge.index, action: "plug a probe in"),
            ])
        }
        let gateway6 = wish.gateway6
        let hasRouter = wish.model != .isolated
        do throws(UrsaError) {
            try run { () throws(UrsaError) in
                let socket = try NetlinkSocket()
                guard let card = try socket.link("eth0") else { throw UrsaError(.io, "the probe has no card") }
                var requests = [
                    LinkRequest.set(.name("lo"), up: true, action: "set up a probe"),
                    LinkRequest.noAutomaticIPv6(.index(card.index)),
                    LinkRequest.set(.index(card.index), up: true, action: "set up a probe"),
                ]
                for address in free {
                    let prefix = address.isIPv6 ? 64 : wish.subnet.prefix
                    requests.append(RouteRequest.addAddress(address, prefix: prefix, link: card.index))
                }
                let everywhere = AddressPrefix(address: .v4(IPv4Address(0)), prefix: 0)
                if hasRouter {
                    requests.append(
                        RouteRequest.addRoute(everywhere, link: card.index, gateway: .v4(wish.gateway), source: nil))
                }
                if hasRouter, let gateway6, free.contains(where: \.isIPv6) {
                    let everywhere6 = AddressPrefix(address: .v6(IPv6Address(high: 0, low: 0)), prefix: 0)
                    requests.append(
                        RouteRequest.addRoute(everywhere6, link: card.index, gateway: .v6(gateway6), source: nil))
                }
                try socket.transact(requests)
                try ProbePort.wait(for: ["eth0"])
            }
            try place.run { () throws(UrsaError) in try ProbePort.wait(for: [name]) }
        } catch {
            unplug()
            throw error
        }
    }

    deinit { unplug() }

    private func unplug() {
        let name = port
        try? place.run { () throws(UrsaError) in try NetlinkSocket().transact([LinkRequest.delete(.name(name))]) }
    }

    /// Runs on a thread inside the guest.
    func run<R: Sendable>(_ body: @escaping @Sendable () throws(UrsaError) -> R) throws(UrsaError) -> R {
        let raw = namespace.raw
        return try OSThread.run { () throws(UrsaError) -> R in
            try check(clinux_setns_network(raw), "enter a probe's namespace")
            return try body()
        }
    }

    /// The highest addresses of the subnet that nobody has.
    private static func spare(_ wish: NetworkWish, _ number: Int) throws(UrsaError) -> [IPAddress] {
        let taken = Set(wish.members.map(\.address))
        var left = number
        var address = IPv4Address(wish.subnet.broadcast.value)
        while address > wish.subnet.address {
            address = IPv4Address(address.value - 1)
            guard wish.isFreeForMachines(address), !taken.contains(address) else { continue }
            if left == 0 {
                var result: [IPAddress] = [.v4(address)]
                if let subnet = wish.subnet6 {
                    result.append(.v6(subnet.address(low: 0x7572_7361_0000 + UInt64(number))))
                }
                return result
            }
            left -= 1
        }
        throw UrsaError(.conflict, "network \(wish.name) has no address left for a probe")
    }
}
