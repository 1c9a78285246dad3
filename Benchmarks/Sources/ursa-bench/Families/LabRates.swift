import UrsaBase

/// Disk and network of a stock guest, ours and QEMU's, with the same back ends in one boot of the lab.
enum LabRates {
    /// What a value of the script is, and how it becomes a time: smaller is better in every figure.
    private enum Kind {
        /// Requests of a second: µs for each.
        case requests
        /// MiB of a second: ms for a GiB.
        case mebibytes
        /// Mbit of a second: ms for a GiB.
        case megabits
        /// Microseconds.
        case microseconds

        var unit: String {
            switch self {
            case .requests, .microseconds: "µs"
            case .mebibytes, .megabits: "ms"
            }
        }

        func time(_ value: Double) -> Double {
            switch self {
            case .requests: 1e6 / value
            case .mebibytes: 1024 / value * 1000
            case .megabits: 8 * 1073.741824 / value * 1000
            case .microseconds: value
            }
        }
    }

    private static let figures: [(name: String, key: String, meaning: String, kind: Kind)] = [
        ("disk.random-read", "random-read", "a read of 4 KiB, 32 at a time (fio, libaio); QEMU", .requests),
        ("disk.random-write", "random-write", "a write of 4 KiB, 32 at a time; QEMU", .requests),
        ("disk.random-read-one", "random-read-one", "a read of 4 KiB, one at a time (fio, psync); QEMU", .requests),
        ("disk.read", "read", "a GiB read in order; QEMU", .mebibytes),
        ("disk.write", "write", "a GiB written in order; QEMU", .mebibytes),
        ("net.ping", "tap-ping", "round trip of a ping, tap; QEMU", .microseconds),
        ("net.send", "tap-send", "a GiB by TCP out of the guest (iperf3), tap; QEMU", .megabits),
        ("net.receive", "tap-receive", "a GiB by TCP into the guest, tap; QEMU", .megabits),
        ("net.vhost-ping", "vhost-ping", "round trip of a ping, vhost-net; QEMU", .microseconds),
        ("net.vhost-send", "vhost-send", "a GiB by TCP out of the guest, vhost-net; QEMU", .megabits),
        ("net.vhost-receive", "vhost-receive", "a GiB by TCP into the guest, vhost-net; QEMU", .megabits),
    ]

    static func measure(_ bench: Bench, _ kernel: LabKernel) throws(UrsaError) -> [Figure] {
        bench.note("lab: \(bench.runs) rounds of disk and network")
        // The disk lies in the lab's memory.
        let lines = try LabFamily.run(
            bench, "rates", ["\(bench.runs)", kernel.elf, Path.parent(bench.ursa.path) + "/ursa-vmm"],
            options: ["-m", "4096", "-x", "tun vhost_net"], word: "rate")
        var values: [String: [String: Series]] = [:]
        for words in lines {
            guard words.count == 3, let value = Double(words[2]), value > 0,
                let kind = figures.first(where: { $0.key == words[1] })?.kind
            else { continue }
            values[words[1], default: [:]][words[0], default: Series()].add(kind.time(value))
        }
        return try figures.map { figure throws(UrsaError) in
            guard let both = values[figure.key], let ours = both["ours"], let peer = both["qemu"],
                ours.values.count == bench.runs, peer.values.count == bench.runs
            else { throw UrsaError(.io, "the lab did not measure \(figure.name)") }
            return Figure(
                name: "lab." + figure.name, meaning: figure.meaning, ours: ours, peer: peer, unit: figure.kind.unit,
                goal: .ratio(1))
        }
    }
}
