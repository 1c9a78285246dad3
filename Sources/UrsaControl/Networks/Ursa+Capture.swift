public import UrsaBase
import UrsaModel
public import UrsaNet

extension Ursa {
    /// Where a machine (`web`), one of its cards (`web/1`), a network, an uplink or a link of the host is captured, found
    /// in that order.
    ///
    /// - Throws: `.notFound` with the nearest name; `.permission` without root.
    public func captureTargets(_ name: String) throws(UrsaError) -> [CaptureTarget] {
        let store = try existingStore()
        try requireRoot("capturing frames")
        let scene = try NetworkScene(self, store)
        if let cards = try cards(name, scene) {
            return cards.map { card in
                CaptureTarget(
                    network: card.network, choice: .links([card.tap]),
                    labels: [card.tap: "\(card.machine)/\(card.number)"])
            }
        }
        if scene.records.contains(where: { $0.spec.name == name }) {
            return [CaptureTarget(network: name, choice: .network, labels: labels(of: name, scene))]
        }
        if let uplink = scene.whole.uplinks.first(where: { $0.name == name }) {
            return [CaptureTarget(network: nil, choice: .links([uplink.interface]))]
        }
        let view = try HostNetworks(home: scene.mark).view()
        if view.link(name) != nil { return [CaptureTarget(network: nil, choice: .links([name]))] }
        throw unknown(name, scene, also: scene.whole.uplinks.map(\.name) + view.links.map(\.name))
    }

    /// Takes frames in; see `HostNetworks.capture`.
    public func capture(
        _ targets: [CaptureTarget], seconds: Double?, ready: () -> Void, idle: () -> Bool,
        deliver: (String, CapturedFrame) throws(UrsaError) -> Bool
    ) throws(UrsaError) -> [CaptureCount] {
        let host = HostNetworks(home: try mark(existingStore()))
        return try host.capture(targets, seconds: seconds, ready: ready, idle: idle, deliver: deliver)
    }

    /// Sets or (with nil) takes away what is done on purpose to frames that a machine, one of its cards or all machines
    /// of a network receive. Returns the networks that it was done on.
    public func impair(_ name: String, _ impairment: Impairment?) throws(UrsaError) -> [String] {
        let store = try existingStore()
        try requireRoot("impairing a network")
        let scene = try NetworkScene(self, store)
        guard let host = scene.host else { return [] }
        if let cards = try cards(name, scene) {
            guard scene.live.contains(cards.first?.machine ?? "") else {
                throw UrsaError(
                    .conflict, "machine \(cards.first?.machine ?? name) does not run",
                    remedy: "`ursa start \(cards.first?.machine ?? name)` first")
            }
            for card in cards { try host.impair(network: card.network, tap: card.tap, impairment) }
            return cards.map(\.network)
        }
        guard scene.records.contains(where: { $0.spec.name == name }) else { throw unknown(name, scene, also: []) }
        guard scene.wanted.contains(name) else {
            throw UrsaError(
                .conflict, "network \(name) is down", remedy: "start a machine on it first: an impairment goes with it")
        }
        try host.impair(network: name, tap: nil, impairment)
        return [name]
    }

    struct CardPlace {
        var machine: String
        var number: Int
        var network: String
        var tap: String
    }

    /// The cards that `web` or `web/1` names; nil when there is no such machine.
    func cards(_ name: String, _ scene: NetworkScene) throws(UrsaError) -> [CardPlace]? {
        let parts = name.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let record = scene.machine(String(parts[0])) else { return nil }
        let all = record.cards.enumerated().map {
            CardPlace(
                machine: record.name, number: $0.offset, network: $0.element.network,
                tap: Ursa.tapName(record, $0.offset))
        }
        guard parts.count == 2 else { return all }
        // A card by its place, or by its network.
        let chosen = all.filter { "\($0.number)" == parts[1] || $0.network == parts[1] }
        guard !chosen.isEmpty else {
            let cards = all.map { "\($0.number) (\($0.network))" }.joined(separator: ", ")
            throw UrsaError(
                .notFound, "machine \(record.name) has no card '\(parts[1])'",
                remedy: all.isEmpty ? "it has no cards" : "its cards are \(cards)")
        }
        return chosen
    }

    /// What a network's links are called: `web/0`.
    func labels(of network: String, _ scene: NetworkScene) -> [String: String] {
        var result: [String: String] = [:]
        for record in scene.machines {
            for (position, card) in record.cards.enumerated() where card.network == network {
                result[Ursa.tapName(record, position)] = "\(record.name)/\(position)"
            }
        }
        return result
    }

    func requireRoot(_ what: String) throws(UrsaError) {
        guard home.isRoot else {
            throw UrsaError(.permission, "\(what) needs root", remedy: "run it with sudo")
        }
    }

    func unknown(_ name: String, _ scene: NetworkScene, also: [String]) -> UrsaError {
        let names = scene.machines.map(\.name) + scene.records.map(\.spec.name) + also
        let near = nearMiss(name, among: names)
        return UrsaError(
            .notFound, "there is no machine or network '\(name)'",
            remedy: near.map { "did you mean '\($0)'?" } ?? "`ursa net map` shows what there is")
    }
}
