import UrsaBase

/// From a spec to machines that answer, against bare QEMU booting the same kernel and initial RAM disk.
enum BootFamily: Family {
    static let name = "boot"

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        let one = try bench.spec("boot-one", TinyMachines.spec(["solo"]))
        let two = try bench.spec("boot-two", TinyMachines.spec(["web", "db"]))
        bench.note("boot: a first run of each, not counted")
        try bench.ursa("up", "-f", one, "--wait")
        let bare = try TinyMachines.bareEquivalent()
        try bench.ursa("down", "-f", one, "--rm", "--kill")
        _ = try bare.boot(1)

        func up(_ file: String) throws(UrsaError) -> Double {
            let time = try milliseconds { () throws(UrsaError) in try bench.ursa("up", "-f", file, "--wait") }
            try bench.ursa("down", "-f", file, "--rm", "--kill")
            return time
        }
        var oneOurs = Series()
        var oneBare = Series()
        var twoOurs = Series()
        var twoBare = Series()
        for _ in 0..<bench.runs {
            twoOurs.add(try up(two))
            oneBare.add(try bare.boot(1))
            oneOurs.add(try up(one))
            twoBare.add(try bare.boot(2))
        }
        return [
            Figure(
                name: "boot.two-against-one", meaning: "`ursa up --wait` of two tiny machines; one bare QEMU boot",
                ours: twoOurs, peer: oneBare, unit: "ms", goal: .ratio(1.5)),
            Figure(
                name: "boot.two-against-two", meaning: "the same; two bare QEMU boots at the same time",
                ours: twoOurs, peer: twoBare, unit: "ms", goal: .ratio(1.5)),
            Figure(
                name: "boot.one-against-one", meaning: "`ursa up --wait` of one tiny machine; one bare QEMU boot",
                ours: oneOurs, peer: oneBare, unit: "ms", goal: .ratio(1.5)),
        ]
    }
}

/// Specs of small machines, and what their engine was started with.
enum TinyMachines {
    /// Machines on one NAT network, emulated, so that both sides do the same work on every host.
    static func spec(_ names: [String], network: String? = "lab") -> String {
        var lines: [String] = []
        if let network { lines += ["networks:", "  \(network): { nat: {} }"] }
        lines.append("machines:")
        for name in names {
            lines.append(
                "  \(name): { image: tiny, memory: 128M, accelerator: tcg, networks: [\(network ?? "")] }")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Bare QEMU like the tiny machine that runs now.
    static func bareEquivalent() throws(UrsaError) -> BareQEMU {
        guard let engine = RunningProcess.all(named: "qemu-system").first else {
            throw UrsaError(.notFound, "no engine runs after `ursa up`")
        }
        return try BareQEMU(like: engine)
    }
}
