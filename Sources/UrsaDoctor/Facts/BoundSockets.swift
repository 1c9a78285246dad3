import Glibc
import UrsaBase

/// A socket that holds a port.
struct BoundSocket: Sendable, Hashable {
    /// Its own address; all zero is every address.
    var isWildcard: Bool
    /// Address 127.0.0.0/8 or ::1.
    var isLoopback: Bool
    /// Port, 1…65535.
    var port: UInt16
    /// Inode, by which /proc/PID/fd names it.
    var inode: UInt64
}

extension HostFacts {
    /// Sockets of a table of /proc/net (`udp`, `udp6`, `tcp`, `tcp6`) that are bound; of TCP only those that listen.
    func boundSockets(_ table: String) -> [BoundSocket] {
        networkTable(table).dropFirst().compactMap { line in
            // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode (proc(5))
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count > 9, !table.hasPrefix("tcp") || fields[3] == "0A" else { return nil }
            let local = fields[1].split(separator: ":")
            guard local.count == 2, let port = UInt16(local[1], radix: 16), port > 0, let inode = UInt64(fields[9])
            else { return nil }
            // Words of the address are written in the machine's byte order; both of ours are little endian.
            let isLoopback =
                local[0].count == 8 ? local[0].hasSuffix("7F") : local[0] == "00000000000000000000000001000000"
            return BoundSocket(
                isWildcard: local[0].allSatisfy { $0 == "0" }, isLoopback: isLoopback, port: port, inode: inode)
        }
    }

    /// The process that has a socket open: what can be seen with the caller's rights.
    func holder(of inode: UInt64) -> (pid: Int32, name: String)? {
        let wanted = "socket:[\(inode)]"
        var buffer = [CChar](repeating: 0, count: 64)
        for name in list("/proc") {
            guard let pid = Int32(name) else { continue }
            for fd in list("/proc/\(pid)/fd") {
                let count = readlink(path("/proc/\(pid)/fd/\(fd)"), &buffer, buffer.count)
                guard count == wanted.utf8.count else { continue }
                let target = buffer.prefix(count).map { UInt8(bitPattern: $0) }
                if target.elementsEqual(wanted.utf8) { return (pid, peek("/proc/\(pid)/comm") ?? "pid \(pid)") }
            }
        }
        return nil
    }

    /// The systemd service that a process belongs to, from its control group.
    func service(of pid: Int32) -> String? {
        for line in lines("/proc/\(pid)/cgroup") {
            guard let unit = line.split(separator: "/").last(where: { $0.hasSuffix(".service") }) else { continue }
            if line.contains("/system.slice/") { return String(unit) }
        }
        return nil
    }
}
