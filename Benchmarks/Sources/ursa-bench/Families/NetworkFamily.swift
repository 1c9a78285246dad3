import UrsaBase

/// NAT networks up and down, with DHCP and names, against libvirt's.
enum NetworkFamily: Family {
    static let name = "network"

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        let libvirt = try Libvirt(scratch: bench.scratch)
        var names: [String] = []
        for index in 1...20 { names.append(try libvirt.defineNetwork(index)) }
        let one = try compare(bench, libvirt, Array(names.prefix(1)))
        let twenty = try compare(bench, libvirt, names)
        return try [
            Figure(
                name: "network.one-up", meaning: "`ursa up` of one NAT network; `virsh net-start`",
                ours: one.upOurs, peer: one.upPeer, unit: "ms", goal: .ratio(0.5)),
            Figure(
                name: "network.one-down", meaning: "`ursa down` of it; `virsh net-destroy`",
                ours: one.downOurs, peer: one.downPeer, unit: "ms", goal: .ratio(1)),
            Figure(
                name: "network.twenty-up", meaning: "`ursa up` of twenty; twenty `net-start` in one virsh session",
                ours: twenty.upOurs, peer: twenty.upPeer, unit: "ms", goal: .ratio(0.25)),
            Figure(
                name: "network.twenty-down", meaning: "`ursa down` of them; twenty `net-destroy` in one session",
                ours: twenty.downOurs, peer: twenty.downPeer, unit: "ms", goal: .ratio(1)),
        ] + ManyPorts.measure(bench) + ManyForwards.measure(bench)
    }

    private struct Times {
        var upOurs = Series()
        var downOurs = Series()
        var upPeer = Series()
        var downPeer = Series()
    }

    private static func compare(_ bench: Bench, _ libvirt: Libvirt, _ names: [String]) throws(UrsaError) -> Times {
        let networks = (1...names.count).map { "  lab\($0): { nat: {}, subnet: 10.77.\($0).0/24, start: always }\n" }
        let file = try bench.spec("networks-\(names.count)", "networks:\n" + networks.joined())
        func peer(_ command: String) throws(UrsaError) -> Double {
            try milliseconds { () throws(UrsaError) in
                if let only = names.first, names.count == 1 {
                    try libvirt.virsh(command, only)
                } else {
                    try libvirt.session(names.map { "\(command) \($0)" })
                }
            }
        }
        func ours(_ command: String) throws(UrsaError) -> Double {
            let time = try milliseconds { () throws(UrsaError) in try bench.ursa(command, "-f", file) }
            // A figure counts only when the work was done. A killed process may be seen for a moment more.
            let deadline = Deadline.after(seconds: 2)
            var servers = ownServers()
            while command == "down", servers > 0, !deadline.isPast {
                pause(milliseconds: 10)
                servers = ownServers()
            }
            guard command == "up" ? servers >= names.count : servers == 0 else {
                throw UrsaError(.bug, "\(servers) dnsmasq run after `ursa \(command)` of \(names.count) networks")
            }
            return time
        }
        bench.note("network: a first run of \(names.count), not counted")
        _ = try (ours("up"), ours("down"), peer("net-start"), peer("net-destroy"))
        var times = Times()
        for _ in 0..<bench.runs {
            times.upOurs.add(try ours("up"))
            times.downOurs.add(try ours("down"))
            times.upPeer.add(try peer("net-start"))
            times.downPeer.add(try peer("net-destroy"))
        }
        return times
    }

    /// DHCP servers of ours; the peer's may take a while to leave.
    private static func ownServers() -> Int {
        RunningProcess.all(named: "dnsmasq").filter { $0.arguments.contains { $0.contains("/run/ursa/") } }.count
    }
}
