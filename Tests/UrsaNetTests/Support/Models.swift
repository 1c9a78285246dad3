import Glibc
import UrsaBase

@testable import UrsaNet

extension PrivateHost {
    /// A LAN as switches make it: the host's eth0, the neighbour `w` and whatever else is plugged in are ports of a
    /// bridge in a namespace of its own. `w` is also the LAN's router to everywhere.
    func addLAN() throws {
        try ip("netns add lan")
        try ip("netns add w")
        // A host that has been up for a second has its link-local addresses.
        for place in [nil, "w"] { try sh("sysctl -qw net.ipv6.conf.default.accept_dad=0", in: place) }
        try ip("link add sw type bridge forward_delay 0 mcast_snooping 0", in: "lan")
        try ip("link set sw up", in: "lan")
        try plug("eth0", nil, "192.0.2.2/24", "2001:db8::2/64")
        try plug("eth0", "w", "192.0.2.9/24", "2001:db8::9/64")
        try ip("link set lo up", in: "w")
        try sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1", in: "w")
        try ip("route add default via 192.0.2.9")
        try ip("route add default via 2001:db8::9")
    }

    /// Plugs a link of a namespace into the LAN.
    func plug(_ name: String, _ namespace: String?, _ addresses: String...) throws {
        let port = "p\(namespace ?? "host")\(name)"
        let place = namespace.map { " netns \($0)" } ?? ""
        try ip("link add \(name)\(place) type veth peer name \(port) netns lan")
        try ip("link set \(port) master sw up", in: "lan")
        for address in addresses { try ip("addr add \(address) dev \(name)", in: namespace) }
        try ip("link set \(name) up", in: namespace)
    }

    /// Waits until a command's text contains a word.
    func wait(for word: String, seconds: Double = 10, _ words: String, in namespace: String? = nil) throws -> Bool {
        let deadline = Deadline.after(seconds: seconds)
        while true {
            if try attempt(words, in: namespace).text.contains(word) { return true }
            if deadline.isPast { return false }
            pause(milliseconds: 20)
        }
    }

    /// Whether an echo request is answered within a second.
    func pings(_ address: String, from namespace: String?, tries: Int = 1) throws -> Bool {
        try attempt("ping -n -c \(tries) -i 0.2 -W 1 \(address)", in: namespace).end.isSuccess
    }
}

/// A network of a model on the private host's LAN, with the machines g1 and g2.
func modelWish(_ model: NetworkModel, isOnHost: Bool = false, proxy: String? = nil) throws -> NetworkWish {
    var wish = NetworkWish(
        name: "net", model: model, isOnHost: isOnHost, publishedOn: model == .lan ? "eth0" : proxy,
        subnet: try required(IPv4Network(model == .lan ? "192.0.2.0/24" : "192.0.2.64/28")),
        subnet6: try required(IPv6Network(model == .lan ? "2001:db8::/64" : "2001:db8:5::/64")))
    if model == .nat || model == .isolated {
        wish.subnet = try required(IPv4Network("10.77.0.0/24"))
        wish.subnet6 = try required(IPv6Network("fd77:1:2:3::/64"))
    }
    for index in UInt32(0)..<2 {
        let mac = MACAddress(0x5254_0000_0001 + UInt64(index))
        wish.members.append(
            Member(
                machine: "g\(index + 1)", mac: mac, address: wish.subnet[(model == .lan ? 66 : 4) + index],
                address6: wish.subnet6?.slaacAddress(of: mac)))
    }
    return wish
}
