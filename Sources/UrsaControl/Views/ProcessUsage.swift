import Glibc
import UrsaBase

/// What processes use, read from /proc (proc(5)).
enum ProcessUsage {
    static func view(_ record: MachineRecord, engine: Int32, keeper: Int32?) -> UsageView {
        let io = fields("/proc/\(engine)/io")
        return UsageView(
            name: record.name, cpuSeconds: cpuSeconds(engine), memory: resident(engine),
            keeperMemory: keeper.map(resident) ?? ByteCount(0), diskRead: io["read_bytes"] ?? 0,
            diskWritten: io["write_bytes"] ?? 0, received: nil, sent: nil)
    }

    /// utime + stime, fields 14 and 15 of /proc/PID/stat, in clock ticks.
    private static func cpuSeconds(_ pid: Int32) -> Double {
        guard let text = File.peek("/proc/\(pid)/stat"), let close = text.lastIndex(of: ")") else { return 0 }
        let fields = text[text.index(after: close)...].split(separator: " ")
        guard fields.count > 12, let user = UInt64(fields[11]), let system = UInt64(fields[12]) else { return 0 }
        return Double(user &+ system) / Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
    }

    /// Resident pages, the second field of /proc/PID/statm.
    private static func resident(_ pid: Int32) -> ByteCount {
        guard let fields = File.peek("/proc/\(pid)/statm")?.split(separator: " "), fields.count > 1,
            let pages = UInt64(fields[1])
        else { return ByteCount(0) }
        return ByteCount(pages.multipliedReportingOverflow(by: UInt64(max(1, getpagesize()))).partialValue)
    }

    private static func fields(_ path: String) -> [String: UInt64] {
        var result: [String: UInt64] = [:]
        for line in (File.peek(path) ?? "").split(separator: "\n") {
            let parts = line.split(separator: ":")
            if parts.count == 2, let value = UInt64(parts[1].trimmed) { result[String(parts[0])] = value }
        }
        return result
    }
}
