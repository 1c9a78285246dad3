import Glibc
import UrsaBase

/// Loads, replaces or removes the filter of guests' ports.
struct EnsurePortFilter: NetStep {
    let home: HomeMark
    let filter: PortFilter
    /// The network in whose namespace the ports are; nil for bridges in the host's own.
    let network: String?
    /// Whether there is one already.
    let isThere: Bool
    let phase = Phase.make

    /// The step from what is to what is wanted, or nil.
    static func step(
        _ home: HomeMark, _ members: [Member], network: String?, seen: TableSeen?
    ) -> EnsurePortFilter? {
        let filter = PortFilter(home, members)
        if filter.comment == seen?.comment, filter.chains == seen?.chains ?? [:] { return nil }
        return EnsurePortFilter(home: home, filter: filter, network: network, isThere: seen != nil)
    }

    var line: String {
        let sign = filter.comment == nil ? "-" : isThere ? "~" : "+"
        return "\(sign) filters of ports \(network.map { "in \(home.namespaceName($0))" } ?? "on the host")"
    }

    func apply() throws(UrsaError) { try load(filter.text) }

    /// The next look finds what is missing; a filter that was there before is not noted anywhere else.
    func undo() throws(UrsaError) {
        if !isThere { try load(PortFilter(home, []).text) }
    }

    private func load(_ text: String) throws(UrsaError) {
        guard let network else { return try FirewallTable.load(text) }
        // The namespace may have gone with the step that failed.
        guard let namespace = try home.namespace(network).open() else { return }
        try FirewallTable.load(text, in: namespace.raw)
    }
}
