public import UrsaBase
public import UrsaModel
public import UrsaNet

/// One network as it is.
public struct NetworkView: Sendable {
    /// Whether it is there.
    public enum State: String, Sendable {
        /// It is there, and whole as far as can be seen.
        case up
        /// It is there, and something of it is broken.
        case broken
        /// No machine on it runs, and nobody asked for it to be there always.
        case down
        /// The caller may not see it.
        case unknown
    }

    /// A machine on it.
    public struct Member: Sendable, Hashable {
        /// The machine's name.
        public var machine: String
        /// Which of its cards, from 0.
        public var card: Int
        /// Whether it runs.
        public var isRunning: Bool
        /// The card as it was given out.
        public var view: CardView
        /// Its link on the bridge.
        public var tap: String
        /// Whether it asked for its address, and got it; nil when that can't be seen.
        public var lease: String?
        /// Bytes that it received and sent while it runs.
        public var counters: LinkCounters?
        /// What is done to it on purpose.
        public var impairment: Impairment?
    }

    /// Its spec.
    public var spec: NetworkSpec
    /// IPv4 subnet given out, nil for networks without one of their own.
    public var subnet: IPv4Network?
    /// IPv6 subnet given out.
    public var subnet6: IPv6Network?
    /// Whether it is there.
    public var state: State
    /// What is broken about it or why its state is unknown, in words.
    public var trouble: String?
    /// Its zone, where the spec has zones.
    public var zone: String?
    /// Uplinks that its guests use, with their health: `comcast`, `avvanta (check fails)`.
    public var uplinks: [String]
    /// All machines with a card on it.
    public var members: [Member]
    /// Ports of the host that lead into it: `web: tcp 8080 → 80`.
    public var ports: [String]
    /// How frames get from machines to the host, and what that costs.
    public var path: String
    /// What is done to all its machines on purpose.
    public var impairment: Impairment?

    /// Whether it exists on the host now.
    public var isUp: Bool { state == .up || state == .broken }
    /// Names of its machines that run.
    public var machines: [String] { members.filter(\.isRunning).map(\.machine) }

    /// Its health in words.
    public var health: String {
        switch state {
        case .up: "up"
        case .broken: trouble ?? "broken"
        case .down: "down: no machine on it runs"
        case .unknown: trouble ?? "unknown"
        }
    }

    /// The network as JSON.
    public var json: JSON {
        .record([
            "name": .string(spec.name), "model": .string(spec.model.rawValue),
            "subnet": subnet.map { .string($0.description) }, "subnet6": subnet6.map { .string($0.description) },
            "up": state == .unknown ? .null : .bool(isUp), "state": .string(state.rawValue),
            "trouble": trouble.map(JSON.string), "zone": zone.map(JSON.string),
            "uplinks": .array(uplinks.map(JSON.string)), "machines": .array(machines.map(JSON.string)),
            "members": .array(members.map(\.json)), "ports": .array(ports.map(JSON.string)), "path": .string(path),
            "interface": spec.interface.map(JSON.string), "placement": .string(spec.placement.rawValue),
            "impairment": impairment?.json,
        ])
    }
}

extension NetworkView.Member {
    var json: JSON {
        .record([
            "machine": .string(machine), "card": .integer(Int64(card)), "running": .bool(isRunning),
            "mac": .string(view.mac.description), "address": view.address.map { .string($0.description) },
            "address6": view.address6.map { .string($0.description) }, "tap": .string(tap),
            "lease": lease.map(JSON.string), "received": counters.map { .integer(Int64(clamping: $0.sent)) },
            "sent": counters.map { .integer(Int64(clamping: $0.received)) }, "impairment": impairment?.json,
        ])
    }
}

extension Ursa {
    /// All networks that were asked for.
    public func networks() throws(UrsaError) -> [NetworkView] {
        guard File.exists(home.storePath) else { return [] }
        let store = try Store(home: home)
        let scene = try NetworkScene(self, store)
        let health = scene.host?.health(scene.wish.watched) ?? [:]
        let map = NetworkMap.make(
            home: scene.mark, wish: scene.whole, view: nil, machines: [], up: [])
        return scene.records.map { record in
            let name = record.spec.name
            var view = NetworkView(
                spec: record.spec, subnet: record.subnet, subnet6: record.subnet6, state: .down, trouble: health[name],
                zone: map.networks.first { $0.name == name }?.zone, uplinks: Ursa.uplinks(of: record.spec, scene.whole),
                members: [], ports: Ursa.ports(of: name, scene.whole), path: "", impairment: nil)
            addMembers(&view, scene)
            settleState(&view, scene)
            return view
        }
    }

    private func settleState(_ view: inout NetworkView, _ scene: NetworkScene) {
        let isUsed = scene.wanted.contains(view.spec.name) || view.members.contains { $0.isRunning }
        if view.spec.model == .user {
            view.state = view.members.contains { $0.isRunning } ? .up : .down
            view.path = "no offload: user networking, a private NAT in each engine"
        } else if scene.host == nil {
            view.path = "no offload: user networking in place of the network"
            if home.isForeign {
                view.state = .unknown
                view.trouble = "only root can see whether it is up"
                view.path = "tap, offload on"
            } else if isUsed {
                view.state = .broken
                view.trouble = "no root, so its machines have user networking"
            }
        } else {
            view.path =
                home.isRootless && !HostNetworks.hasTaps
                ? "no offload: a packet socket, since /dev/net/tun is closed to this user" : "tap, offload on"
            view.state = !isUsed ? .down : view.trouble == nil ? .up : .broken
        }
    }

    private func addMembers(_ view: inout NetworkView, _ scene: NetworkScene) {
        let name = view.spec.name
        let isUp = scene.wanted.contains(name)
        let counters = isUp ? scene.host?.counters(network: name) ?? [:] : [:]
        let impairments = isUp ? (try? scene.host?.impairments(network: name)) ?? [:] : [:]
        view.impairment = impairments["*"]
        for record in scene.machines {
            for (position, card) in record.cards.enumerated() where card.network == name {
                let tap = Ursa.tapName(record, position)
                var member = NetworkView.Member(
                    machine: record.name, card: position, isRunning: scene.live.contains(record.name), view: card,
                    tap: tap, lease: nil, counters: counters[tap], impairment: impairments[tap])
                if isUp, member.isRunning, let host = scene.host, card.address != nil {
                    let seen = host.dhcpState(network: name, mac: card.mac)
                    member.lease = seen.answerSent ? "given" : seen.requestSeen ? "asked for" : "not asked for"
                }
                view.members.append(member)
            }
        }
    }

    private static func uplinks(of spec: NetworkSpec, _ wish: HostWish) -> [String] {
        guard spec.model != .isolated, spec.model != .user else { return [] }
        return wish.uplinks.filter { spec.uplinks.isEmpty || spec.uplinks.contains($0.name) }.map {
            $0.isHealthy ? $0.name : "\($0.name) (check fails)"
        }
    }

    private static func ports(of network: String, _ wish: HostWish) -> [String] {
        wish.networks.filter { $0.name == network }.flatMap(\.ports).map { "\($0.machine): \(words($0))" }
    }
}
