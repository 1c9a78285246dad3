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
    /// The run state of a machine, from its folder and the kernel.
    func runState(_ name: String) -> RunState { RunState(folder: machineFolder(name)) }
}
