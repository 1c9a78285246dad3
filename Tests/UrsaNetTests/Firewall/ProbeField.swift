import CLinux
import Glibc
import UrsaBase
import UrsaFirewall

@testable import UrsaNet

/// Stations in namespaces that send each other real packets, many at the same time, and tell what became of each: the
/// far end answered, somebody refused, or silence.
///
/// A socket belongs to the namespace it was opened in, so one thread can hold all ends.
final class ProbeField {
    /// Somebody who sends and answers.
    struct Station: Sendable {
        let name: String
        /// Its namespace; nil for the host.
        let namespace: String?
        let place: Place
        let address4: IPAddress
        let address6: IPAddress

        func address(isIPv6: Bool) -> IPAddress { isIPv6 ? address6 : address4 }
    }

    /// One connection to try. An end is a station and the address that it uses: the host has one for each neighbour.
    struct Probe: Sendable, CustomStringConvertible {
        let connection: Connection
        let from: Station
        let to: Station
        var description: String {
            "\(from.name) \(connection.source.address) → \(to.name) \(connection.destination.address), \(connection.traffic)"
        }
    }

    enum Outcome: String, Sendable { case passed, refused, silent }

    static let ports: [UInt16] = [80, 8080]
    private var servers: [(fd: Int32, isUDP: Bool)] = []
    private var accepted: [Int32] = []
    // Every connection has a source port of its own: an earlier one's answers must not open the way for it.
    private var nextPort: UInt16 = 10_000

    deinit { for fd in servers.map(\.fd) + accepted { close(fd) } }

    /// Answers on these addresses of a station.
    func serve(_ station: Station, _ addresses: [IPAddress]) throws {
        let opened: [(Int32, Bool)] = try Self.inside(station.namespace) { () throws(UrsaError) in
            var result: [(Int32, Bool)] = []
            for address in addresses {
                for port in Self.ports {
                    let tcp = try Self.open(address, SOCK_STREAM, 0, port)
                    try retrying("listen") { listen(tcp, 512) }
                    result.append((tcp, false))
                    result.append((try Self.open(address, SOCK_DGRAM, 0, port), true))
                }
            }
            return result
        }
        servers += opened.map { (fd: $0.0, isUDP: $0.1) }
    }

    /// Tries all connections at once.
    /// - Parameter expected: what should become of each. Silence is believed a little after everything else has come.
    func run(_ probes: [Probe], expected: [Outcome]) throws -> [Outcome] {
        var ports: [UInt16] = []
        for _ in probes {
            nextPort = nextPort >= 60_000 ? 10_000 : nextPort + 1
            ports.append(nextPort)
        }
        let order = Dictionary(grouping: probes.indices) { probes[$0].from.namespace ?? "" }
        let (list, numbers) = (probes, ports)
        var clients = [Int32](repeating: -1, count: probes.count)
        defer { for fd in clients where fd >= 0 { close(fd) } }
        for (namespace, indices) in order {
            let opened = try Self.inside(namespace.isEmpty ? nil : namespace) { () throws(UrsaError) -> [Int32] in
                var result: [Int32] = []
                for index in indices { result.append(try Self.start(list[index].connection, numbers[index])) }
                return result
            }
            for (index, fd) in zip(indices, opened) { clients[index] = fd }
        }
        return collect(probes, clients, expected)
    }

    private func collect(_ probes: [Probe], _ clients: [Int32], _ expected: [Outcome]) -> [Outcome] {
        var outcomes = [Outcome](repeating: .silent, count: probes.count)
        var open = Set(probes.indices)
        let last = Deadline.after(seconds: 3)
        while true {
            let isComplete = !open.contains { expected[$0] != .silent }
            if last.isPast { break }
            var waiting = servers.map { pollfd(fd: $0.fd, events: Int16(POLLIN), revents: 0) }
            let indices = open.sorted()
            for index in indices {
                let isTCP = if case .tcp = probes[index].connection.traffic { true } else { false }
                waiting.append(pollfd(fd: clients[index], events: Int16(isTCP ? POLLOUT : POLLIN), revents: 0))
            }
            if poll(&waiting, nfds_t(waiting.count), isComplete ? 12 : 200) == 0 {
                if isComplete { break } else { continue }
            }
            for (server, state) in zip(servers, waiting) where state.revents != 0 { answer(server) }
            for (index, state) in zip(indices, waiting.dropFirst(servers.count)) where state.revents != 0 {
                if let outcome = Self.judge(clients[index], probes[index].connection.traffic) {
                    outcomes[index] = outcome
                    open.remove(index)
                }
            }
        }
        for fd in accepted { close(fd) }
        accepted = []
        return outcomes
    }

    private func answer(_ server: (fd: Int32, isUDP: Bool)) {
        if !server.isUDP {
            let fd = accept(server.fd, nil, nil)
            guard fd >= 0 else { return }
            Self.leaveNothing(fd)
            accepted.append(fd)
            return
        }
        var bytes = [UInt8](repeating: 0, count: 64)
        var name = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        withUnsafeMutablePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                let count = recvfrom(server.fd, &bytes, bytes.count, 0, $0, &size)
                if count > 0 { sendto(server.fd, bytes, count, 0, $0, size) }
            }
        }
    }

    /// What a socket that became ready tells; nil when it is nothing yet.
    private static func judge(_ fd: Int32, _ traffic: Connection.Traffic) -> Outcome? {
        if case .tcp = traffic {
            var error: Int32 = 0
            var size = socklen_t(4)
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size)
            return error == 0 ? .passed : .refused
        }
        var bytes = [UInt8](repeating: 0, count: 256)
        if recv(fd, &bytes, bytes.count, 0) >= 0 { return .passed }
        return errno == EAGAIN || errno == EINTR ? nil : .refused
    }

    // MARK: - Sockets

    private static func inside<R: Sendable>(
        _ namespace: String?, _ body: @escaping @Sendable () throws(UrsaError) -> R
    ) throws -> R {
        guard let namespace else { return try body() }
        return try NetworkNamespace(name: namespace).run(body)
    }

    /// Opens a connection: its first packet leaves at once.
    private static func start(_ connection: Connection, _ port: UInt16) throws(UrsaError) -> Int32 {
        let (source, target) = (connection.source.address, connection.destination.address)
        switch connection.traffic {
        case .tcp(let number):
            let fd = try open(source, SOCK_STREAM, 0, port)
            leaveNothing(fd)
            connect(fd, target, number)
            return fd
        case .udp(let number):
            let fd = try open(source, SOCK_DGRAM, 0, port)
            connect(fd, target, number)
            send(fd, [1, 2, 3], 3, 0)
            return fd
        case .icmp, .other:
            // A ping socket's port is the echo's identifier; the kernel fills in the checksum.
            let isIPv6 = source.isIPv6
            let fd = try open(source, SOCK_DGRAM, isIPv6 ? Int32(IPPROTO_ICMPV6) : Int32(IPPROTO_ICMP), port)
            connect(fd, target, 0)
            send(fd, [isIPv6 ? 128 : 8, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4], 12, 0)
            return fd
        }
    }

    private static func open(
        _ address: IPAddress, _ type: __socket_type, _ transport: Int32, _ port: UInt16
    ) throws(UrsaError) -> Int32 {
        let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let fd = try retrying("open a socket") {
            socket(address.isIPv6 ? AF_INET6 : AF_INET, Int32(type.rawValue) | flags, transport)
        }
        var on: Int32 = 1
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        let result = withName(address, port) { bind(fd, $0, $1) }
        if result < 0 {
            let error = UrsaError.system(Errno.current, "bind \(address) \(port)")
            close(fd)
            throw error
        }
        return fd
    }

    private static func connect(_ fd: Int32, _ address: IPAddress, _ port: UInt16) {
        _ = withName(address, port) { Glibc.connect(fd, $0, $1) }
    }

    /// Ends a connection by a reset when it is closed.
    private static func leaveNothing(_ fd: Int32) {
        var none = linger(l_onoff: 1, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, socklen_t(MemoryLayout<linger>.size))
    }

    private static func withName(
        _ address: IPAddress, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        switch address {
        case .v4(let four):
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            name.sin_addr.s_addr = four.value.bigEndian
            return withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        case .v6(let six):
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = port.bigEndian
            withUnsafeMutableBytes(of: &name.sin6_addr) { $0.copyBytes(from: six.bytes) }
            return withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
    }
}
