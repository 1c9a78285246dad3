import UrsaBase

/// Memory for machines, and huge pages set aside.
struct MemoryCheck: Check {
    let topic = "memory"

    func examine(_ host: HostFacts) -> [Finding] {
        var values: [Substring: UInt64] = [:]
        for line in host.lines("/proc/meminfo") {
            let fields = line.split(whereSeparator: { $0 == ":" || $0.isWhitespace })
            if fields.count > 1, let value = UInt64(fields[1]) { values[fields[0]] = value }
        }
        guard let kibibytes = values["MemAvailable"], kibibytes < 1 << 50 else {
            return [note("the kernel does not tell how much memory is available")]
        }
        let available = ByteCount(kibibytes << 10)
        let pages = values["HugePages_Total"] ?? 0
        let reserved = pages > 0 ? ", \(pages) huge pages set aside (\(values["HugePages_Free"] ?? 0) free)" : ""
        let message = "\(available.rounded) available\(reserved)"
        return [available < .mebibytes(512) ? warning("only \(message): the smallest machines only") : ok(message)]
    }
}
