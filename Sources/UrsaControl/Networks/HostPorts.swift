import Glibc
import UrsaBase
import UrsaModel

/// Whether ports of the host are free to be published.
enum HostPorts {
    /// Fails when a program of the host holds the port already: a rule of ours would silently take its traffic.
    static func requireFree(_ port: PublishSpec, machine: String) throws(UrsaError) {
        let stream = port.transport == .tcp
        let kind = Int32(stream ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        var result: Int32 = 0
        switch port.hostAddress {
        case .v6(let address):
            let fd = socket(AF_INET6, kind, 0)
            guard fd >= 0 else { return }
            defer { close(fd) }
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = port.hostPort.bigEndian
            withUnsafeMutableBytes(of: &name.sin6_addr) { $0.copyBytes(from: address.bytes) }
            result = attempt(fd, &name, stream)
        default:
            let fd = socket(AF_INET, kind, 0)
            guard fd >= 0 else { return }
            defer { close(fd) }
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.hostPort.bigEndian
            if case .v4(let address) = port.hostAddress { name.sin_addr.s_addr = address.value.bigEndian }
            result = attempt(fd, &name, stream)
        }
        switch result {
        case EADDRINUSE:
            throw UrsaError(
                .conflict, "port \(port.hostPort)/\(port.transport.rawValue) of the host is in use by another program",
                place: "machine \(machine), publish \(port)",
                remedy: "publish another port; `ss -\(stream ? "lt" : "lu")np` names the program")
        case EADDRNOTAVAIL:
            throw UrsaError(
                .invalidSpec, "this host has no address \(port.hostAddress?.description ?? "*")",
                place: "machine \(machine), publish \(port)", remedy: "`ip address` lists the host's addresses")
        case EACCES:
            throw UrsaError(
                .permission, "ports below 1024 need root", place: "machine \(machine), publish \(port)",
                remedy: "publish a port from 1024 up")
        default: return
        }
    }

    private static func attempt<Name>(_ fd: Int32, _ name: inout Name, _ stream: Bool) -> Int32 {
        var on: Int32 = 1
        // Connections of an earlier listener that linger in TIME_WAIT do not hold the port.
        if stream { setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)) }
        let bound = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(fd, $0, socklen_t(MemoryLayout<Name>.size))
            }
        }
        if bound != 0 { return errno }
        // With SO_REUSEADDR a second bind passes; only listening tells that somebody listens there.
        if stream, listen(fd, 1) != 0 { return errno }
        return 0
    }
}
