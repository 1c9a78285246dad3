import UrsaBase

/// `ursa start` of a machine that exists, against libvirt's define and start: both return with the engine running.
enum StartFamily: Family {
    static let name = "start"

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        let alone = try bench.spec("start", TinyMachines.spec(["alone"], network: nil))
        let wired = try bench.spec(
            "start-nat",
            """
            networks:
              lab: { nat: {}, start: always }
            machines:
              wired: { image: tiny, memory: 128M, accelerator: tcg, networks: [lab] }

            """)
        try bench.ursa("up", "-f", alone)
        let bare = try TinyMachines.bareEquivalent()
        try bench.ursa("stop", "alone", "--kill")
        try bench.ursa("up", "-f", wired)
        try bench.ursa("stop", "wired", "--kill")

        let libvirt = try Libvirt(scratch: bench.scratch)
        let network = try libvirt.defineNetwork(1)
        try libvirt.virsh("net-start", network)
        let definitions = (
            alone: try libvirt.domain("alone", kernel: bare.kernel, initrd: bare.initrd),
            wired: try libvirt.domain("wired", kernel: bare.kernel, initrd: bare.initrd, network: network)
        )
        func ours(_ name: String) throws(UrsaError) -> Double {
            let time = try milliseconds { () throws(UrsaError) in try bench.ursa("start", name) }
            guard RunningProcess.all(named: "qemu-system").count == 1 else {
                throw UrsaError(.bug, "no engine runs after `ursa start \(name)`")
            }
            try bench.ursa("stop", name, "--kill")
            return time
        }
        func peer(_ name: String, _ definition: String) throws(UrsaError) -> Double {
            let time = try milliseconds { () throws(UrsaError) in
                try libvirt.virsh("define", definition)
                try libvirt.virsh("start", name)
            }
            try libvirt.virsh("destroy", name)
            try libvirt.virsh("undefine", name)
            return time
        }
        bench.note("start: a first run of each, not counted (libvirt asks QEMU for its abilities once)")
        _ = try (ours("alone"), ours("wired"))
        _ = try (peer("alone", definitions.alone), peer("wired", definitions.wired))

        let aloneTimes = try bench.alternate(
            ours: { () throws(UrsaError) in try ours("alone") },
            peer: { () throws(UrsaError) in try peer("alone", definitions.alone) })
        let wiredTimes = try bench.alternate(
            ours: { () throws(UrsaError) in try ours("wired") },
            peer: { () throws(UrsaError) in try peer("wired", definitions.wired) })
        try libvirt.virsh("net-destroy", network)
        try bench.ursa("down", "-f", alone, "--rm", "--kill")
        try bench.ursa("down", "-f", wired, "--rm", "--kill")
        return [
            Figure(
                name: "start.machine", meaning: "`ursa start` until the engine runs; `virsh define` + `virsh start`",
                ours: aloneTimes.ours, peer: aloneTimes.peer, unit: "ms", goal: .ratio(0.25)),
            Figure(
                name: "start.machine-nat", meaning: "the same with a card on a NAT network that is up already",
                ours: wiredTimes.ours, peer: wiredTimes.peer, unit: "ms", goal: .ratio(0.25)),
        ]
    }
}
