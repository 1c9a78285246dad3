import Glibc
import UrsaBase

/// Which program of the calling thread's namespace holds a port.
enum PortHolder {
    /// Name and process number of a program that listens on the port, UDP or TCP, on this address or on all: `named
    /// (pid 812)`; nil when none does or when it can't be seen.
    static func words(port: UInt16, address: IPv4Address) -> String? {
        var sockets: Set<String> = []
        for table in ["udp", "tcp", "udp6", "tcp6"] {
            guard let text = try? File.readText("/proc/thread-self/net/\(table)") else { continue }
            for line in text.split(separator: "\n").dropFirst() {
                // sl, local address:port (hexadecimal), remote, state, queues, timers, retransmits, user, timeout, inode.
                let words = line.split(separator: " ")
                guard words.count > 9, let colon = words[1].lastIndex(of: ":"),
                    UInt16(words[1][words[1].index(after: colon)...], radix: 16) == port,
                    // A listening TCP socket is in state 0A; a UDP socket in 07.
                    words[3] == "0A" || words[3] == "07", covers(words[1][..<colon], address)
                else { continue }
                sockets.insert("socket:[\(words[9])]")
            }
        }
        guard !sockets.isEmpty else { return nil }
        for process in File.list("/proc").compactMap({ Int32($0) }).sorted() {
            for descriptor in File.list("/proc/\(process)/fd") {
                var buffer = [CChar](repeating: 0, count: 64)
                let count = readlink("/proc/\(process)/fd/\(descriptor)", &buffer, buffer.count)
                guard count > 0 else { continue }
                let target = String(decoding: buffer[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
                if sockets.contains(target) {
                    return "\(File.peek("/proc/\(process)/comm") ?? "a program") (pid \(process))"
                }
            }
        }
        return nil
    }

    /// Whether a local address of the kernel's table is this one or stands for all. It writes IPv4 addresses as one
    /// number in the host's byte order.
    private static func covers(_ text: Substring, _ address: IPv4Address) -> Bool {
        text.allSatisfy { $0 == "0" } || UInt32(text, radix: 16) == address.value.bigEndian
    }
}
