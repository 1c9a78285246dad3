import Glibc

/// The program `ursa-vmm`.
public enum MonitorProgram {
    /// Runs it; returns the exit status.
    public static func run(_ arguments: [String]) -> Int32 {
        _ = write(2, "ursa-vmm CONFIGURATION\n", 23)
        return 2
    }
}
