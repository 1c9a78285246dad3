import UrsaBase

/// Memory of the process that stands by each running machine, against libvirt's daemon.
enum KeeperFamily: Family {
    static let name = "keeper"

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        // As many machines as runs: each keeper is one sample, booted to its end so that its scrollback is filled.
        let names = (1...bench.runs).map { "k\($0)" }
        let file = try bench.spec("keeper", TinyMachines.spec(names))
        bench.note("keeper: booting \(names.count) machines")
        try bench.ursa("up", "-f", file, "--wait", "--timeout", "180")
        // The watcher of networks is a role of the same program.
        let keepers = RunningProcess.all(named: "ursa-keeper").filter { process in
            !(File.peek("/proc/\(process.pid)/cmdline") ?? "").contains("--watch")
        }
        guard keepers.count == names.count, let engine = RunningProcess.all(named: "qemu-system").first else {
            throw UrsaError(.bug, "\(keepers.count) keepers run beside \(names.count) machines")
        }
        let bare = try BareQEMU(like: engine)
        let libvirt = try Libvirt(scratch: bench.scratch)
        // Its daemon has asked QEMU for its abilities and runs one machine.
        let definition = try libvirt.domain("k", kernel: bare.kernel, initrd: bare.initrd)
        try libvirt.virsh("define", definition)
        try libvirt.virsh("start", "k")
        let daemon = RunningProcess(pid: libvirt.pid)
        var resident = (ours: Series(), peer: Series())
        var proportional = (ours: Series(), peer: Series())
        for keeper in keepers {
            resident.ours.add(keeper.mebibytes("VmRSS", of: "status") ?? .infinity)
            proportional.ours.add(keeper.mebibytes("Pss", of: "smaps_rollup") ?? .infinity)
            resident.peer.add(daemon.mebibytes("VmRSS", of: "status") ?? 0)
            proportional.peer.add(daemon.mebibytes("Pss", of: "smaps_rollup") ?? 0)
        }
        try libvirt.virsh("destroy", "k")
        try bench.ursa("down", "-f", file, "--rm", "--kill")
        return [
            Figure(
                name: "keeper.resident", meaning: "resident memory of one keeper; of libvirtd",
                ours: resident.ours, peer: resident.peer, unit: "MiB", goal: .value(5)),
            Figure(
                name: "keeper.proportional", meaning: "the same, shared pages divided among who shares them (PSS)",
                ours: proportional.ours, peer: proportional.peer, unit: "MiB", goal: .value(5)),
        ]
    }
}
