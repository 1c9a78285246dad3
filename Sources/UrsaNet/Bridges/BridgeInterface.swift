import CLinux
import Glibc
import UrsaBase

/// Makes a bridge with an interface as its port: the interface's addresses and routes move to the bridge in one batch,
/// and the bridge takes the interface's Ethernet address, so that nobody on the LAN notices.
struct BridgeInterface: NetStep {
    let home: HomeMark
    let wish: BridgeWish
    let interface: String
    let mtu: UInt32
    /// What is wrong with one that was made before; nil for a new one.
    let broken: [String]?
    let phase = Phase.make
    var network: String? { wish.name }
    private var name: String { home.bridgeName(wish.name) }

    var line: String {
        let what = "bridge \(name) over \(interface), which keeps no addresses and routes of its own"
        return broken.map { "~ \(what): \($0.joined(separator: "; "))" } ?? "+ \(what)"
    }

    func apply() throws(UrsaError) {
        let socket = try NetlinkSocket()
        guard let port = try socket.link(interface) else {
            throw UrsaError(.notFound, "the host has no interface \(interface)")
        }
        var source = try LinkState(of: port.index, socket)
        if let route = source.routes.first(where: \.hasNexthopObject) {
            throw UrsaError(
                .unsupported, "the route \(route.words) is made of nexthop objects, which can't move",
                place: interface, remedy: "make it a plain route, or use `lan`")
        }
        let there = try socket.link(name)
        var journal: BridgeJournal
        if let old = BridgeJournal.of(wish.name, home), old.interface == interface {
            journal = old
            // Until all was on the bridge, and when the bridge was lost with it, what was noted is what counts.
            if !old.isMoved || there == nil {
                var noted = old.state
                noted.routes = noted.routes.map { $0.over(port.index, insteadOf: old.index) }
                source = noted.joined(with: source, link: port.index, insteadOf: port.index)
            }
        } else {
            journal = BridgeJournal(
                network: wish.name, interface: interface, index: port.index, wasUp: port.isUp, state: source,
                settings: PortSettings.changes(interface), isMoved: false)
            try journal.write(home)
        }
        let bridge = try ensureBridge(socket, port, there)
        PortSettings.copy(from: interface, to: name)
        for change in journal.settings { try Sysctl.setIfPresent(change.name, change.new) }
        let attach = LinkRequest.set(
            .index(port.index), up: true, master: bridge.index, action: "make \(interface) a port of \(name)")
        try socket.transactWhole(
            source.move(from: (port.index, interface), to: (bridge.index, name), between: [attach]))
        try attachTaps(socket, bridge)
        if !journal.isMoved {
            journal.isMoved = true
            try journal.write(home)
        }
    }

    private func ensureBridge(_ socket: NetlinkSocket, _ port: Link, _ there: Link?) throws(UrsaError) -> Link {
        let link = LinkName.name(name)
        if let there {
            guard home.bridgedNetwork(alias: there.alias) == wish.name else {
                throw UrsaError(.conflict, "the host has a link \(name) that is not Ursa's")
            }
        } else {
            try socket.transact([
                LinkRequest.addBridge(name, mac: port.mac, mtu: mtu),
                LinkRequest.setAlias(link, home.bridgedAlias(wish.name)),
                LinkRequest.noAutomaticIPv6(link),
            ])
        }
        // Duplicates were looked for when the interface got its addresses.
        try Sysctl.setIfPresent("ipv6/conf/\(name)/accept_dad", "0")
        try socket.transact([LinkRequest.set(link, up: true, mac: port.mac, mtu: mtu, action: "bring \(name) up")])
        guard let made = try socket.link(name) else { throw UrsaError(.io, "the link \(name) went away at once") }
        return made
    }

    private func attachTaps(_ socket: NetlinkSocket, _ bridge: Link) throws(UrsaError) {
        let taps = try socket.links().filter {
            home.bridgedNetwork(alias: $0.alias) == wish.name && $0.index != bridge.index
        }
        try socket.transact(
            taps.map {
                LinkRequest.set(.index($0.index), up: true, master: bridge.index, action: "attach \($0.name)")
            })
    }

    func undo() throws(UrsaError) {
        guard broken == nil else { return }
        try ReturnInterface.apply(home, wish.name)
    }
}

/// Gives an interface back what its bridge had, and takes the bridge away.
struct ReturnInterface: NetStep {
    let home: HomeMark
    let name: String
    let interface: String?
    let phase = Phase.remove
    var network: String? { name }

    init(home: HomeMark, network: String, bridge: BridgesSeen.Bridge) {
        self.home = home
        name = network
        interface = bridge.journal?.interface
    }

    var line: String {
        "- bridge \(home.bridgeName(name))"
            + (interface.map { ", \($0) gets its addresses and routes back" } ?? "")
    }

    func apply() throws(UrsaError) { try Self.apply(home, name) }
    func undo() throws(UrsaError) {}

    static func apply(_ home: HomeMark, _ network: String) throws(UrsaError) {
        let socket = try NetlinkSocket()
        let links = try socket.links()
        let bridge = links.first { $0.kind == "bridge" && home.bridgedNetwork(alias: $0.alias) == network }
        let journal = BridgeJournal.of(network, home)
        // Without a journal the port that carries no mark is the interface.
        let port = links.first { link in
            journal.map { $0.interface == link.name }
                ?? (bridge != nil && link.master == bridge?.index && link.alias?.hasPrefix("ursa:") != true)
        }
        if let port {
            try give(back: port, bridge, journal, socket)
        } else if let bridge {
            try socket.transact([LinkRequest.delete(.index(bridge.index))])
        }
        try BridgeJournal.remove(network, home)
    }

    private static func give(
        back port: Link, _ bridge: Link?, _ journal: BridgeJournal?, _ socket: NetlinkSocket
    ) throws(UrsaError) {
        let settings = journal?.settings ?? []
        let isMine = port.master == nil || port.master == bridge?.index
        var requests: [NetlinkMessage] = []
        let detach = LinkRequest.set(
            .index(port.index), up: true, master: isMine ? 0 : nil, action: "give \(port.name) back")
        var wanted: LinkState
        if let bridge, journal?.isMoved ?? true {
            wanted = try LinkState(of: bridge.index, socket)
            requests = wanted.move(
                from: (bridge.index, bridge.name), to: (port.index, port.name), between: [detach])
        } else {
            wanted = (journal?.state ?? LinkState()).living(now: bootSeconds())
            let old = journal?.index ?? port.index
            wanted.routes = wanted.routes.map { $0.over(port.index, insteadOf: old) }
            let now = bootSeconds()
            requests = [detach]
            requests += wanted.addresses.map {
                $0.addition(to: port.index, name: port.name, from: port.name, now: now)
            }
            requests += wanted.routes.map { $0.addition(now: now) }
        }
        if let bridge { requests.append(LinkRequest.delete(.index(bridge.index))) }
        try socket.transactWhole(requests)
        // From here on the kernel makes link-local addresses by itself again; one that was not there before goes.
        SettingsJournal.restore(settings.filter { !$0.name.hasSuffix("/accept_dad") })
        let keys = Set(wanted.addresses.compactMap(\.key))
        let strange = try LinkState(of: port.index, socket).addresses.filter {
            $0.isLinkLocal && $0.key.map { !keys.contains($0) } ?? false
        }
        try socket.transact(strange.map { $0.removal(from: port.index) })
        SettingsJournal.restore(settings.filter { $0.name.hasSuffix("/accept_dad") })
        if journal?.wasUp == false {
            try socket.transact([LinkRequest.set(.index(port.index), up: false, action: "bring \(port.name) down")])
        }
    }
}

extension SavedAddress {
    fileprivate var isLinkLocal: Bool {
        guard case .v6(let address) = address else { return false }
        return address.high >> 54 == 0xfe80 >> 6
    }
}

/// Settings of an interface that becomes a port.
enum PortSettings {
    /// What changes for the interface: it makes no addresses by itself, and waits for no duplicates when it gets its own
    /// back.
    static func changes(_ interface: String) -> [SettingChange] {
        [("addr_gen_mode", "1"), ("accept_dad", "0")].compactMap { name, new in
            let path = "ipv6/conf/\(interface)/\(name)"
            return Sysctl.read(path).map { SettingChange(name: path, old: $0, new: new) }
        }
    }

    /// The bridge treats packets as the interface did: router advertisements, redirects, forwarding, filters.
    static func copy(from interface: String, to bridge: String) {
        // Those that are the bridge's own, or can't be written.
        let others = ["addr_gen_mode", "accept_dad", "stable_secret", "mtu"]
        for folder in ["ipv4/conf", "ipv6/conf"] {
            for name in File.list("/proc/sys/net/\(folder)/\(interface)") where !others.contains(name) {
                guard let value = Sysctl.read("\(folder)/\(interface)/\(name)") else { continue }
                try? Sysctl.setIfPresent("\(folder)/\(bridge)/\(name)", value)
            }
        }
    }
}
