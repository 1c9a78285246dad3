import UrsaBase
import UrsaKeeper
import UrsaModel

/// What the kernel says of a machine: is its engine alive, is its keeper.
struct RunState: Sendable {
    /// The last status that the keeper wrote, corrected by the kernel; nil when the machine never started.
    let status: MachineStatus?
    /// Whether exactly that engine process lives in this boot.
    let engineLives: Bool
    /// Whether exactly that keeper process lives in this boot.
    let keeperLives: Bool

    /// Whether something of the machine runs: an engine, or a keeper that is about to start one again.
    var isLive: Bool { engineLives || (keeperLives && status?.state != .ended) }
    /// Whether the engine runs and nobody looks after it.
    var isOrphan: Bool { engineLives && !keeperLives }

    init(folder: String) {
        // A status that can't be read counts as none: what runs is then found by its marks.
        status = (try? MachineStatus.read(folder: folder)) ?? nil
        engineLives = status?.isAlive ?? false
        keeperLives = status?.isKept ?? false
    }
}

extension Home {
    /// Notes with what settings a machine is started now. It is of use only while the machine runs, so it need not
    /// survive the host's end; without it, the stored settings count as those that run.
    func noteStarted(_ record: MachineRecord) {
        try? File.replace(
            machineFolder(record.name) + "/started.json", Array(record.spec.json.text.utf8), durable: false)
    }

    /// The settings that machines were started with.
    func startedSpecs(_ names: Set<String>) -> [String: MachineSpec] {
        var result: [String: MachineSpec] = [:]
        for name in names {
            guard let text = try? File.read(machineFolder(name) + "/started.json", limit: 1 << 20) else { continue }
            result[name] = try? MachineSpec(json: try JSON.parse(text))
        }
        return result
    }

    /// The run state of a machine, from its folder and the kernel.
    func runState(_ name: String) -> RunState { RunState(folder: machineFolder(name)) }
}
