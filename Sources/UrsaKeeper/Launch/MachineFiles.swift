/// Names of the keeper's files in a machine's folder.
public enum MachineFiles {
    /// What the machine does, see `MachineStatus`.
    public static let status = "status.json"
    /// Where the keeper answers.
    public static let keeperSocket = "keeper.sock"
    /// Held by the living keeper (a lock of the kernel).
    public static let lock = "keeper.lock"
    /// The console's newest output; `.1` appended: what came before.
    public static let console = "console.log"
    /// What the engine said on standard error; `.1` appended: what came before.
    public static let engineLog = "engine.log"
}
