import UrsaBase
import UrsaNet

/// A network with a hundred guests and a thousand published ports, and one port more, against iptables with the same
/// number of rules for forwarding and letting in.
enum ManyForwards {
    private static let space = "ursa-bench-forwards"

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        let home = HomeMark(
            id: "be9c1000", isDefault: false, folder: "\(bench.scratch)/forwards",
            runFolder: "\(bench.scratch)/forwards/run", hostsFile: "\(bench.scratch)/forwards/hosts")
        try File.makeDirectory(home.folder)
        let host = HostNetworks(home: home)
        guard let subnet = IPv4Network("10.79.0.0/24") else { return [] }
        var wish = NetworkWish(name: "many", subnet: subnet)
        for index in UInt32(0)..<100 {
            wish.members.append(
                Member(
                    machine: "m\(index)", mac: MACAddress(0x5254_0079_0000 + UInt64(index)), address: subnet[20 + index]
                ))
        }
        for index in 0..<1000 { wish.ports.append(port(UInt16(10_000 + index), to: wish.members[index % 100])) }
        var more = wish
        more.ports.append(port(80, to: wish.members[0]))
        var (all, one) = ((ours: Series(), peer: Series()), (ours: Series(), peer: Series()))
        // The first round warms both up.
        for round in 0...bench.runs {
            let up = try milliseconds { () throws(UrsaError) in try host.converge([wish]) }
            let added = try milliseconds { () throws(UrsaError) in try host.converge([more]) }
            try host.converge([])
            let peer = try iptables(wish)
            guard round > 0 else { continue }
            all.ours.add(up)
            one.ours.add(added)
            all.peer.add(peer.all)
            one.peer.add(peer.one)
        }
        return [
            Figure(
                name: "network.forwards-1000",
                meaning: "a network of 100 guests with 1000 forwards, DHCP and names; `iptables-restore` of 2000 rules",
                ours: all.ours, peer: all.peer, unit: "ms", goal: .value(250)),
            Figure(
                name: "network.forward-more", meaning: "one forward more; two calls of `iptables`",
                ours: one.ours, peer: one.peer, unit: "ms", goal: .value(10)),
        ]
    }

    private static func port(_ number: UInt16, to member: Member) -> PublishedPort {
        PublishedPort(machine: member.machine, hostPort: number, guestAddress: member.address, guestPort: 80)
    }

    private static func iptables(_ wish: NetworkWish) throws(UrsaError) -> (all: Double, one: Double) {
        func run(_ words: [String], input: String = "") throws(UrsaError) {
            _ = try Program("ip", ["netns", "exec", space] + words).require(
                "run \(words[0])", input: Array(input.utf8), seconds: 120)
        }
        _ = try Program("ip", ["netns", "add", space]).require("make a namespace", seconds: 10)
        var nat = "*nat\n"
        var filter = "*filter\n"
        for port in wish.ports {
            nat += "-A PREROUTING -p tcp --dport \(port.hostPort) -j DNAT --to-destination \(port.guestAddress):80\n"
            filter += "-A FORWARD -p tcp -d \(port.guestAddress) --dport 80 -j ACCEPT\n"
        }
        let text = nat + "COMMIT\n" + filter + "COMMIT\n"
        let all = try milliseconds { () throws(UrsaError) in try run(["iptables-restore"], input: text) }
        let guest = "\(wish.members[0].address)"
        let one = try milliseconds { () throws(UrsaError) in
            try run(
                ["iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "80", "-j", "DNAT"]
                    + ["--to-destination", guest + ":80"])
            try run(["iptables", "-A", "FORWARD", "-p", "tcp", "-d", guest, "--dport", "80", "-j", "ACCEPT"])
        }
        _ = try Program("ip", ["netns", "del", space]).require("remove a namespace", seconds: 30)
        return (all, one)
    }
}
