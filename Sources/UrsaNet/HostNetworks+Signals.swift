import CLinux
import Glibc
public import UrsaBase

/// What tells whether a machine can be reached, step by step.
extension HostNetworks {
    /// Whether the machine with this card asked for an address (DHCPDISCOVER or DHCPREQUEST), and whether it was given
    /// one (DHCPACK). A restart of dnsmasq empties the log.
    public func dhcpState(network: String, mac: MACAddress) -> (requestSeen: Bool, answerSent: Bool) {
        DnsmasqProcess(folder: home.folder(network: network)).dhcpState(mac)
    }

    /// Asks the network's own name server for the IPv4 address of a name, as a guest would; nil when it has none or
    /// does not answer in time. Asked again every 250 ms: a lost packet costs no more than that.
    public func resolves(network: String, name: String, seconds: Double) -> IPv4Address? {
        let deadline = Deadline.after(seconds: seconds)
        let socket = nameServer(of: network)
        guard socket >= 0 else { return nil }
        let fd = OwnedFD(socket)
        while true {
            let id = UInt16.random(in: 0...UInt16.max)
            guard let query = DNSMessage.query(name, id: id) else { return nil }
            _ = send(fd.raw, query, query.count, Int32(MSG_NOSIGNAL))
            let next = min(deadline, .after(seconds: 0.25))
            while true {
                var waiting = pollfd(fd: fd.raw, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, next.millisecondsLeft) > 0 else { break }
                var buffer = [UInt8](repeating: 0, count: 4096)
                let count = recv(fd.raw, &buffer, buffer.count, 0)
                guard count > 0 else {
                    // "Port unreachable": dnsmasq does not run (yet).
                    pause(milliseconds: UInt32(min(50, next.millisecondsLeft)))
                    continue
                }
                if let address = DNSMessage.answer(Array(buffer[0..<count]), id: id) { return address }
            }
            if deadline.isPast { return nil }
        }
    }

    /// Whether a TCP connection from the host to this address and port is accepted; waits up to `seconds` for one
    /// attempt and tries again when it is refused.
    public func accepts(address: IPv4Address, port: UInt16, seconds: Double) -> Bool {
        let deadline = Deadline.after(seconds: seconds)
        while true {
            if attempt(address, port, until: deadline) { return true }
            if deadline.isPast { return false }
            pause(milliseconds: UInt32(min(25, deadline.millisecondsLeft)))
        }
    }

    private func attempt(_ address: IPv4Address, _ port: UInt16, until deadline: Deadline) -> Bool {
        let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let socket = Glibc.socket(AF_INET, flags, 0)
        guard socket >= 0 else { return false }
        let fd = OwnedFD(socket)
        if connect(fd, address, port) == 0 { return true }
        guard errno == EINPROGRESS else { return false }
        var waiting = pollfd(fd: fd.raw, events: Int16(POLLOUT), revents: 0)
        // Not longer than a second: a guest that came up meanwhile is found by a new attempt, not by TCP's back-off.
        guard poll(&waiting, 1, min(deadline.millisecondsLeft, 1000)) > 0 else { return false }
        var error: Int32 = 0
        var size = socklen_t(4)
        return getsockopt(fd.raw, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0
    }

    private func connect(_ fd: borrowing OwnedFD, _ address: IPv4Address, _ port: UInt16) -> Int32 {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        name.sin_addr.s_addr = address.value.bigEndian
        return withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(fd.raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// A UDP socket to the network's name server, or -1. Of a network that the host can't reach it is one inside its
    /// namespace.
    private func nameServer(of network: String) -> Int32 {
        guard let socket = try? NetlinkSocket(), let links = try? socket.links() else { return -1 }
        let link = links.first { $0.name == home.stemName(network) && home.network(alias: $0.alias) == network }
        if let link, link.kind == "bridge" { return bridgeAddress(link, socket).map(question) ?? -1 }
        let namespace = home.namespace(network)
        let address = try? namespace.run { () throws(UrsaError) -> UInt32 in
            let socket = try NetlinkSocket()
            guard let bridge = try socket.link(BridgeName.bridge) else { return 0 }
            return bridgeAddress(bridge, socket)?.value ?? 0
        }
        guard let address, address != 0 else { return -1 }
        if link != nil { return question(IPv4Address(address)) }
        let inside = try? namespace.run { () throws(UrsaError) -> Int32 in question(IPv4Address(address)) }
        return inside ?? -1
    }

    /// A socket connected to the server, so that answers from anybody else never arrive; -1 when there is no way there.
    private func question(_ server: IPv4Address) -> Int32 {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return -1 }
        let fd = OwnedFD(socket)
        return connect(fd, server, 53) == 0 ? fd.release() : -1
    }

    private func bridgeAddress(_ bridge: Link, _ socket: NetlinkSocket) -> IPv4Address? {
        for address in (try? socket.addresses()) ?? [] where address.link == bridge.index {
            if case .v4(let address) = address.address { return address }
        }
        return nil
    }
}
