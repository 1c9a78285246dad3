import CLinux
import Glibc
import UrsaBase

/// Where a network is: in a namespace of its own, or with its bridge on the host.
struct NetworkPlace: Sendable, Hashable {
    /// Its namespace; nil: the host's own.
    var namespace: NetworkNamespace?
    /// Name of its bridge.
    var bridge: String

    /// Runs `body` where the network is: on a thread inside its namespace, or here.
    func run<R: Sendable>(_ body: @escaping @Sendable () throws(UrsaError) -> R) throws(UrsaError) -> R {
        guard let namespace else { return try body() }
        return try namespace.run(body)
    }

    /// The bridge and its ports, the stem left out. Called inside the place.
    func ports() throws(UrsaError) -> (bridge: Link, ports: [Link])? {
        let links = try NetlinkSocket().links()
        guard let bridge = links.first(where: { $0.name == bridge }) else { return nil }
        return (bridge, links.filter { $0.master == bridge.index && $0.name != BridgeName.stem })
    }
}

extension HostNetworks {
    /// Where a network of this home is; nil when it is not up.
    func place(_ network: String) -> NetworkPlace? { home.place(network) }
}

extension HomeMark {
    func place(_ network: String) -> NetworkPlace? {
        let own = namespace(network)
        if own.exists { return NetworkPlace(namespace: own, bridge: BridgeName.bridge) }
        guard let links = try? NetlinkSocket().links() else { return nil }
        let marks = [alias(network), bridgedAlias(network)]
        if let bridge = links.first(where: { $0.name == bridgeName(network) && marks.contains($0.alias ?? "") }) {
            return NetworkPlace(namespace: nil, bridge: bridge.name)
        }
        // A bridge that somebody else keeps is found by the machines' links on it.
        let port = links.first { marks.contains($0.alias ?? "") && $0.master != nil }
        return port.flatMap { port in links.first { $0.index == port.master } }.map {
            NetworkPlace(namespace: nil, bridge: $0.name)
        }
    }
}
