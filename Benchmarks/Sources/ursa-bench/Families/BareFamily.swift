import Glibc
import UrsaBase

/// Our own monitor against QEMU on plain /dev/kvm, with a guest without an operating system that keeps the devices' queues
/// full: what a request costs, and a start.
enum BareFamily: Family {
    static let name = "bare"

    private struct Job {
        let name: String
        let meaning: String
        let word: String
        /// At most this share of QEMU's time.
        let goal: Double
        /// Whether somebody else sets the pace, so that the guest's processor mostly waits and its time says nothing.
        var isPaced = false
    }

    /// "1.2 times the requests per second per core" is 1/1.2 of the processor time for a request.
    private static let goal = 1 / 1.2

    private static let disk = [
        Job(name: "read-32", meaning: "random read of 4 KiB, 32 at a time", word: "read:150000:32", goal: goal),
        Job(
            name: "read-32-called", meaning: "random read of 4 KiB, 32 at a time, with interrupts asked for",
            word: "read:150000:32:1", goal: goal),
        Job(name: "read-1", meaning: "random read of 4 KiB, one at a time", word: "read:20000:1", goal: goal),
        Job(name: "write-32", meaning: "random write of 4 KiB, 32 at a time", word: "write:100000:32", goal: goal),
    ]
    private static let net = [
        Job(
            name: "send-60", meaning: "frame of 60 bytes into a tap, 128 at a time", word: "send:200000:60:128",
            goal: goal),
        Job(
            name: "send-1514", meaning: "frame of 1514 bytes into a tap, 128 at a time", word: "send:200000:1514:128",
            goal: goal),
        Job(
            name: "send-one", meaning: "frame of 60 bytes into a tap, one at a time", word: "send:30000:60:1",
            goal: goal),
        Job(
            name: "echo", meaning: "frame of 60 bytes out of a tap and back, as many as come", word: "echo:200000",
            goal: goal, isPaced: true),
    ]

    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure] {
        let programs = Path.parent(bench.ursa.path)
        let root = Path.parent(Path.parent(programs))
        let folder = bench.scratch + "/bare"
        try File.makeDirectory(folder)
        try Program(root + "/Tests/Guests/build", [folder + "/guest"]).require("build the bare guest", seconds: 60)
        func machine(_ monitor: BareMachine.Monitor) -> BareMachine {
            BareMachine(
                monitor: monitor, program: monitor == .ours ? programs + "/ursa-vmm" : "qemu-system-x86_64",
                guest: folder + "/guest")
        }
        let image = folder + "/disk"
        try makeDisk(image)
        var figures = [try start(bench, machine(.ours), machine(.qemu(aio: "threads", ownThread: false)))]

        bench.note("bare: disk")
        var peers: [BareMachine.Monitor] = []
        for aio in ["io_uring", "threads"] {
            for ownThread in [false, true] { peers.append(.qemu(aio: aio, ownThread: ownThread)) }
        }
        figures += try rates(bench, "disk", disk, peers) { monitor in
            var result = machine(monitor)
            result.disk = image
            return result
        }
        bench.note("bare: network")
        figures += try rates(bench, "net", net, [.qemu(aio: "threads", ownThread: false)]) { monitor in
            var result = machine(monitor)
            result.tap = "bare0"
            return result
        }
        return figures
    }

    /// 256 MiB, written through once so that all of it is in the page cache and has its place on the disk.
    private static func makeDisk(_ path: String) throws(UrsaError) {
        try Program("qemu-img", ["create", "-q", "-f", "raw", "-o", "preallocation=full", path, "256M"]).require(
            "make a disk", seconds: 60)
        try Program("sync", ["-f", path]).require("write the disk out", seconds: 60)
    }

    private static func start(
        _ bench: Bench, _ ours: BareMachine, _ peer: BareMachine
    ) throws(UrsaError) -> Figure {
        bench.note("bare: start")
        let times = try bench.alternate { () throws(UrsaError) in
            try ours.run([]).start
        } peer: { () throws(UrsaError) in
            try peer.run([]).start
        }
        return Figure(
            name: "bare.start",
            meaning: "start of the program to the guest's first output, an ELF kernel by PVH; QEMU microvm",
            ours: times.ours, peer: times.peer, unit: "ms", goal: .value(10))
    }

    /// Two figures for each job: with the guest's processor, which looks at the rings all the time, and without it.
    ///
    /// The peer is, job by job, that of QEMU's ways which takes the least time.
    private static func rates(
        _ bench: Bench, _ kind: String, _ jobs: [Job], _ peers: [BareMachine.Monitor],
        _ machine: (BareMachine.Monitor) -> BareMachine
    ) throws(UrsaError) -> [Figure] {
        var all: [BareMachine.Monitor: [[BareMachine.Result]]] = [:]
        for round in 0..<bench.runs {
            let order = round % 2 == 0 ? [.ours] + peers : peers.reversed() + [.ours]
            for monitor in order {
                all[monitor, default: []].append(try machine(monitor).run(jobs.map(\.word)).results)
            }
        }
        var figures: [Figure] = []
        for (index, job) in jobs.enumerated() {
            for (suffix, of, value) in [
                ("", "processor time for a ", { $0.processor / $0.count }),
                ("-monitor", "the same without the guest's processor: ", { $0.ownProcessor / $0.count }),
            ] as [(String, String, (BareMachine.Result) -> Double)] where !(job.isPaced && suffix.isEmpty) {
                func series(_ monitor: BareMachine.Monitor) -> Series {
                    var result = Series()
                    for run in all[monitor] ?? [] { result.add(value(run[index])) }
                    return result
                }
                let best = peers.map { (peer: $0, series: series($0)) }.min { $0.series.median < $1.series.median }
                guard let best else { continue }
                figures.append(
                    Figure(
                        name: "bare.\(kind)-\(job.name)\(suffix)",
                        meaning: of + job.meaning + "; QEMU microvm\(way(best.peer, kind))",
                        ours: series(.ours), peer: best.series, unit: "µs", goal: .ratio(job.goal)))
            }
        }
        return figures
    }

    private static func way(_ monitor: BareMachine.Monitor, _ kind: String) -> String {
        guard kind == "disk", case .qemu(let aio, let ownThread) = monitor else { return "" }
        return ", aio=\(aio)" + (ownThread ? ", iothread" : "")
    }
}
