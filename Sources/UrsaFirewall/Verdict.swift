import UrsaBase

extension Matrix {
    /// What happens to a connection: the reference that the rules in the kernel are held to.
    ///
    /// Rules with a limit are taken to be within it.
    public func verdict(of connection: Connection) -> Decision {
        let (source, destination) = (connection.source, connection.destination)
        if connection.isAnswer { return Decision(.accept, .established) }
        if source.place == .host, destination.place == .host { return Decision(.accept, .local) }
        if !connection.isForwarded, case .network = source.place, source.place == destination.place {
            return Decision(.accept, .segment)
        }
        if isForeign(source.place, destination.place) { return Decision(.accept, .foreign) }
        if needs(connection) { return Decision(.accept, .needed) }
        if isClosed(source.place) || isClosed(destination.place) { return Decision(.drop, .closed) }
        if isSpoofed(source), destination.place != .host { return Decision(.drop, .spoofed) }
        if destination.place == .host, !firewall.isPlain,
            firewall.admins.contains(where: { $0.contains(source.address) })
        {
            return Decision(.accept, .admin)
        }
        if connection.isForwarded { return Decision(.accept, .forward) }
        guard let from = zoneMap.zone(of: source), let to = zoneMap.zone(of: destination), let cell = self[from, to]
        else { return plain(connection) }
        return decide(cell, connection)
    }

    private func decide(_ cell: Cell, _ connection: Connection) -> Decision {
        for index in cell.rules where firewall.rules[index].fits(connection) {
            return Decision(firewall.rules[index].action, .rule(index), log: firewall.rules[index].log)
        }
        let (action, log) = effect(of: cell.otherwise)
        return switch cell.otherwise {
        case .policy(let index): Decision(action, .policy(index), log: log)
        case .intraZone: Decision(action, .intraZone(cell.from))
        case .uncovered: Decision(action, .uncovered)
        }
    }

    /// Without zones: guests reach everything outside, the outside reaches guests of open networks.
    private func plain(_ connection: Connection) -> Decision {
        guard case .network(let name) = connection.destination.place, let network = topology.network(name) else {
            return Decision(.accept, .plain)
        }
        if connection.source.place == .host { return Decision(.accept, .plain) }
        return switch network.reach {
        case .open, .segment: Decision(.accept, .plain)
        case .translated, .closed: Decision(.drop, .plain)
        }
    }

    /// Whether a connection only passes through the host: neither end is a guest or the host. Between uplinks on
    /// different links zones decide.
    private func isForeign(_ source: Place, _ destination: Place) -> Bool {
        func isOurs(_ place: Place) -> Bool {
            switch place {
            case .host: true
            case .network(let name):
                if case .segment = topology.network(name)?.reach { false } else { true }
            case .uplink, .outside: false
            }
        }
        if isOurs(source) || isOurs(destination) { return false }
        guard !firewall.isPlain, let here = interface(source), let there = interface(destination) else { return true }
        return here == there
    }

    private func interface(_ place: Place) -> String? {
        switch place {
        case .uplink(let name): topology.uplink(name)?.interface
        case .network(let name):
            if case .segment(let interface) = topology.network(name)?.reach,
                topology.uplinks.contains(where: { $0.interface == interface })
            {
                interface
            } else {
                nil
            }
        case .host, .outside: nil
        }
    }

    private func isClosed(_ place: Place) -> Bool {
        if case .network(let name) = place { topology.network(name)?.reach == .closed } else { false }
    }

    private func isSpoofed(_ end: Connection.End) -> Bool {
        guard case .network(let name) = end.place, let network = topology.network(name), !network.sources.isEmpty
        else { return false }
        if case .segment = network.reach { return false }
        return !network.sources.contains { $0.contains(end.address) }
    }

    /// DHCP of the host as a client, DHCP and DNS of networks whose bridge is the host's own, and the host's questions to
    /// the name servers of its networks.
    private func needs(_ connection: Connection) -> Bool {
        func isServed(_ place: Place) -> Bool {
            if case .network(let name) = place { topology.network(name)?.isOnHost ?? false } else { false }
        }
        switch (connection.source.place, connection.destination.place, connection.traffic) {
        case (_, .host, .udp(68)), (_, .host, .udp(546)): return true
        case (.host, _, .udp(67)), (.host, _, .udp(547)), (.host, _, .udp(68)): return true
        case (.host, .network, .udp(53)), (.host, .network, .tcp(53)):
            return topology.networks.contains { $0.servers.contains(connection.destination.address) }
        case (let source, .host, .udp(let port)): return isServed(source) && [53, 67, 547].contains(port)
        case (let source, .host, .tcp(53)): return isServed(source)
        default: return false
        }
    }
}

extension Firewall {
    /// What happens to a connection; `Matrix` is the way for many of them.
    public func verdict(of connection: Connection, in topology: Topology) -> Decision {
        Matrix(self, topology).verdict(of: connection)
    }
}
