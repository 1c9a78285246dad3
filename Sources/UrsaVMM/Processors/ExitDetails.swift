import CLinux

/// How often each port and each page of addresses without memory was reached, for finding exits that can be avoided.
final class ExitDetails: @unchecked Sendable {
    // SAFETY: written by one processor's thread, read when that is parked.
    private var ports = [UInt64](repeating: 0, count: 65536)
    private var pages: [UInt64: UInt64] = [:]

    func countPort(_ port: UInt16) { ports[Int(port)] &+= 1 }
    func countMemory(_ address: UInt64) {
        // Sixteen bytes are one thing; a guest must not make the table grow without end.
        let place = address & ~15
        if pages.count < 4096 || pages[place] != nil { pages[place, default: 0] &+= 1 }
    }

    /// Names and counts, most frequent first.
    var lines: [(name: String, count: UInt64)] {
        var result: [(name: String, count: UInt64)] = []
        for (port, count) in ports.enumerated() where count > 0 {
            result.append(("port 0x\(String(port, radix: 16))", count))
        }
        for (place, count) in pages { result.append(("memory 0x\(String(place, radix: 16))", count)) }
        return result.sorted { ($1.count, $0.name) < ($0.count, $1.name) }
    }
}
