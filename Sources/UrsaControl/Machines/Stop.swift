import GRDB
import Glibc
public import UrsaBase
import UrsaKeeper
import UrsaModel

extension Ursa {
    /// Stops machines, all at once: power button, then after the deadline the kill. Ones that don't run are fine.
    public func stop(
        _ names: [String], options: StopOptions, report: @escaping @Sendable (Report) -> Void
    ) throws(UrsaError) {
        let store = try Store(home: home)
        try finishLeftovers(store)
        var records: [MachineRecord] = []
        for name in Set(names).sorted() { records.append(try record(name, store)) }
        try halt(records, options, report)
        try convergeAndTell(store, report)
    }

    /// Ends the engines of machines; the networks are the caller's.
    func halt(
        _ records: [MachineRecord], _ options: StopOptions, _ report: @escaping @Sendable (Report) -> Void
    ) throws(UrsaError) {
        try OSThread.concurrently(records) { (record: MachineRecord) throws(UrsaError) in
            do throws(UrsaError) {
                try FileLock.holding(home.machineLocksPath, slot: FileLock.slot(record.name)) { () throws(UrsaError) in
                    try haltOne(record, options, report)
                }
            } catch {
                throw error.at("machine \(record.name)")
            }
        }
    }

    private func haltOne(
        _ record: MachineRecord, _ options: StopOptions, _ report: @escaping @Sendable (Report) -> Void
    ) throws(UrsaError) {
        let name = record.name
        var state = home.runState(name)
        guard state.isLive else {
            report(.machine(name, "is not running"))
            return
        }
        if options.kill {
            try killEngine(name)
            report(.machine(name, home.runState(name).status?.reason ?? "killed"))
            return
        }
        if state.isOrphan {
            _ = try Keeper.adopt(folder: home.machineFolder(name), keeperProgram: Programs.keeper(), seconds: 10)
            state = home.runState(name)
        }
        let seconds = options.seconds ?? record.spec.stopTimeout
        do throws(UrsaError) {
            let client = try KeeperClient(folder: home.machineFolder(name))
            let end = try client.stop(seconds: seconds) { report(.machine(name, $0)) }
            report(.machine(name, end.reason ?? "stopped"))
        } catch {
            // The keeper died or hangs: the deadline still holds.
            if home.runState(name).isLive { try killEngine(name) }
            report(.machine(name, home.runState(name).status?.reason ?? "ended"))
        }
    }
}
