import UrsaBase
import UrsaNet

/// A network with 128 taps up and down, against a shell script that runs `ip` for each object.
enum ManyPorts {
    private static let count = 128
    private static let space = "ursa-bench-taps"

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        let home = HomeMark(
            id: "be9c0128", isDefault: false, folder: "\(bench.scratch)/many", runFolder: "\(bench.scratch)/many/run",
            hostsFile: "\(bench.scratch)/many/hosts")
        try File.makeDirectory(home.folder)
        let host = HostNetworks(home: home)
        guard let subnet = IPv4Network("10.78.0.0/24") else { return [] }
        let wish = NetworkWish(name: "many", subnet: subnet)
        var figures = (upOurs: Series(), downOurs: Series(), upPeer: Series(), downPeer: Series())
        // The first round warms both up.
        for round in 0...bench.runs {
            let taps = Taps()
            let up = try milliseconds { () throws(UrsaError) in
                try host.converge([wish])
                for index in 0..<count {
                    taps.all.append(SharedFD(try host.openTap(network: "many", name: "t\(index)")))
                }
            }
            let down = try milliseconds { () throws(UrsaError) in
                try host.converge([])
                taps.all.removeAll()
            }
            let peer = try script()
            guard round > 0 else { continue }
            figures.upOurs.add(up)
            figures.downOurs.add(down)
            figures.upPeer.add(peer.up)
            figures.downPeer.add(peer.down)
        }
        return [
            Figure(
                name: "network.bridge-128-up",
                meaning:
                    "a NAT network with 128 taps, DHCP and names; a script with `ip` per object, bridge and taps only",
                ours: figures.upOurs, peer: figures.upPeer, unit: "ms", goal: .ratio(0.125)),
            Figure(
                name: "network.bridge-128-down", meaning: "the same taken down; taps deleted one by one",
                ours: figures.downOurs, peer: figures.downPeer, unit: "ms", goal: .ratio(0.05)),
        ]
    }

    private final class Taps { var all: [SharedFD] = [] }

    private static func script() throws(UrsaError) -> (up: Double, down: Double) {
        func run(_ name: String, _ arguments: [String]) throws(UrsaError) {
            _ = try Program(name, arguments).require("run \(name)", seconds: 120)
        }
        func shell(_ words: String) throws(UrsaError) -> Double {
            try milliseconds { () throws(UrsaError) in
                try run("ip", ["netns", "exec", space, "bash", "-c", words])
            }
        }
        try run("ip", ["netns", "add", space])
        let up = try shell(
            """
            ip link add br0 type bridge; ip link set br0 up
            for ((i = 0; i < \(count); i++)); do
                ip tuntap add dev t$i mode tap; ip link set t$i master br0; ip link set t$i up
            done
            """)
        let down = try shell("for ((i = 0; i < \(count); i++)); do ip link del t$i; done; ip link del br0")
        try run("ip", ["netns", "del", space])
        return (up, down)
    }
}
