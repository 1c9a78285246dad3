/// Limits of this process that a host full of machines runs into.
struct LimitsCheck: Check {
    let topic = "limits"

    func examine(_ host: HostFacts) -> [Finding] {
        var findings: [Finding] = []
        let files = LimitsCheck.limit("Max open files", host.lines("/proc/self/limits"))
        if let files, files.hard < 4096 {
            findings.append(warning("at most \(files.hard) open files for a process: too few for many machines"))
        }
        if let locked = LimitsCheck.limit("Max locked memory", host.lines("/proc/self/limits")), locked.hard < 64 << 20
        {
            findings.append(
                note("at most \(locked.hard >> 10) KiB of locked memory: no device can be passed to a machine"))
        }
        guard findings.isEmpty else { return findings }
        return [
            files.map { ok("\(LimitsCheck.words($0.hard)) open files") }
                ?? note("the limits of this process are unknown")
        ]
    }

    private static func words(_ value: UInt64) -> String { value == .max ? "any number of" : "\(value)" }

    /// A line of /proc/PID/limits: name, soft limit, hard limit, unit.
    static func limit(_ name: String, _ lines: [Substring]) -> (soft: UInt64, hard: UInt64)? {
        guard let line = lines.first(where: { $0.hasPrefix(name) }) else { return nil }
        let fields = line.dropFirst(name.count).split(separator: " ")
        func number(_ text: Substring) -> UInt64? { text == "unlimited" ? .max : UInt64(text) }
        guard fields.count > 1, let soft = number(fields[0]), let hard = number(fields[1]) else { return nil }
        return (soft, hard)
    }
}
