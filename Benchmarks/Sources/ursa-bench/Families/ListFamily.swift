import UrsaBase

/// `ursa ps` with two hundred machines, two of them running, against virsh list; and one round trip of each.
enum ListFamily: Family {
    static let name = "ps"
    private static let machines = 200

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        bench.note("ps: making \(machines) machines on both sides")
        let running = try bench.spec("ps", TinyMachines.spec(["r1", "r2"]))
        try bench.ursa("up", "-f", running)
        let bare = try TinyMachines.bareEquivalent()
        let libvirt = try Libvirt(scratch: bench.scratch)
        var definitions: [String] = []
        for index in 3...machines {
            try bench.ursa("run", "tiny", "--name", "m\(index)", "--memory", "128M", "--no-start")
        }
        for index in 1...machines {
            definitions.append(
                "define \(try libvirt.domain("m\(index)", kernel: bare.kernel, initrd: bare.initrd))")
        }
        try libvirt.session(definitions)
        for name in ["m1", "m2"] { try libvirt.virsh("start", name) }

        let lines = try bench.ursa("ps", "-a").split(separator: "\n").count
        guard lines > machines else {
            throw UrsaError(.bug, "`ursa ps -a` prints \(lines) lines for a heading and \(machines) machines")
        }
        let list = try bench.alternate(
            ours: { () throws(UrsaError) in
                try milliseconds { () throws(UrsaError) in try bench.ursa("ps", "-a") }
            },
            peer: { () throws(UrsaError) in
                try milliseconds { () throws(UrsaError) in try libvirt.virsh("list", "--all") }
            })
        let empty = "\(bench.scratch)/empty-home"
        try File.makeDirectory(empty)
        try bench.ursa("ps", home: empty)
        let roundTrip = try bench.alternate(
            ours: { () throws(UrsaError) in
                try milliseconds { () throws(UrsaError) in try bench.ursa("ps", home: empty) }
            },
            peer: { () throws(UrsaError) in
                try milliseconds { () throws(UrsaError) in try libvirt.virsh("uri") }
            })
        for name in ["m1", "m2"] { try libvirt.virsh("destroy", name) }
        try bench.ursa("down", "-f", running, "--rm", "--kill")
        for index in 3...machines { try bench.ursa("rm", "--force", "m\(index)") }
        return [
            Figure(
                name: "ps.two-hundred",
                meaning: "`ursa ps -a` with 200 machines, 2 running; `virsh list --all` likewise",
                ours: list.ours, peer: list.peer, unit: "ms", goal: .value(60)),
            Figure(
                name: "ps.round-trip", meaning: "`ursa ps` with no machines; `virsh uri`",
                ours: roundTrip.ours, peer: roundTrip.peer, unit: "ms", goal: .ratio(1)),
        ]
    }
}
