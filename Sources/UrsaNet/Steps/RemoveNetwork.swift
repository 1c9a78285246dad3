import Glibc
import UrsaBase

/// Takes a network down.
struct RemoveNetwork: NetStep {
    let home: HomeMark
    let name: String
    let phase = Phase.remove
    var network: String? { name }
    var line: String { "- network \(name): dnsmasq, stem, namespace \(home.namespaceName(name))" }
    func apply() throws(UrsaError) { try RemoveNetworks(networks: [self]).apply() }
    /// Takes the ports of the network's namespace away together. One by one, as their owners close them, each would wait
    /// for the kernel's readers: seconds with a hundred of them.
    fileprivate func removePorts() throws(UrsaError) {
        let namespace = home.namespace(name)
        guard namespace.exists else { return }
        let (home, name) = (home, name)
        try namespace.run { () throws(UrsaError) in
            let socket = try NetlinkSocket()
            let ports = try socket.links().filter { $0.master != nil && home.network(alias: $0.alias) == name }
            if ports.count > 1 { try socket.deleteLinks(ports.map(\.index)) }
        }
    }

    // What was taken down on purpose is not built again: the next converge does that from the wish.
    func undo() throws(UrsaError) {}
}

/// Takes several networks down together: the kernel lets all readers pass once, not once per link.
struct RemoveNetworks: NetStep {
    let networks: [RemoveNetwork]
    let phase = Phase.remove
    let network: String? = nil
    var line: String { networks.map(\.line).joined(separator: "\n") }

    func apply() throws(UrsaError) {
        guard let home = networks.first?.home else { return }
        let processes = networks.map { DnsmasqProcess(folder: home.folder(network: $0.name)) }
        for process in processes { process.identity?.signal(SIGKILL) }
        let socket = try NetlinkSocket()
        let names = Set(networks.map(\.name))
        try socket.deleteLinks(
            socket.links().filter { home.network(alias: $0.alias).map(names.contains) == true }.map(\.index))
        // Each unmount waits for the kernel's readers too: at the same time, they wait together. The trace goes last.
        try OSThread.concurrently(networks, atMost: 32) { network throws(UrsaError) in
            let process = DnsmasqProcess(folder: home.folder(network: network.name))
            try process.stop()
            try network.removePorts()
            try home.namespace(network.name).remove()
            try process.removeFiles()
        }
    }

    func undo() throws(UrsaError) {}
}
