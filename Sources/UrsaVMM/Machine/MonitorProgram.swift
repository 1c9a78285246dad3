import Glibc

/// The program `ursa-vmm`.
public enum MonitorProgram {
    /// Runs it; returns the exit status.
    public static func run(_ arguments: [String]) -> Int32 {
        fputs("ursa-vmm CONFIGURATION\n", stderr)
        return 2
    }
}
