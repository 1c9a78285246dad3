import Glibc
import UrsaBase

/// The host's links as bridges to LANs see them.
struct BridgesSeen: Sendable, Hashable {
    /// One that a wish or a leftover is about.
    struct Bridge: Sendable, Hashable {
        /// The bridge's link, when it is there.
        var link: Link?
        /// How its interface was before.
        var journal: BridgeJournal?
    }
    /// By network: everything of this home's that is there or was begun.
    var bridges: [String: Bridge] = [:]
    /// All links by name.
    var links: [String: Link] = [:]
    /// Names of links that have addresses of their own.
    var addressed: Set<String> = []
    /// Names of links that are radios.
    var wireless: Set<String> = []

    init() {}

    init(_ home: HomeMark, _ links: [Link], _ addresses: [LinkAddress]) {
        self.links = Dictionary(links.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let names = Dictionary(links.map { ($0.index, $0.name) }, uniquingKeysWith: { first, _ in first })
        addressed = Set(addresses.compactMap { names[$0.link] })
        wireless = Set(links.filter { $0.kind == nil && Radio.isWireless($0.name) }.map(\.name))
        for link in links where link.kind == "bridge" {
            if let network = home.bridgedNetwork(alias: link.alias) { bridges[network, default: Bridge()].link = link }
        }
        for journal in BridgeJournal.all(home) { bridges[journal.network, default: Bridge()].journal = journal }
    }

    /// Links whose master is that one.
    func ports(of bridge: Link) -> [Link] {
        links.values.filter { $0.master == bridge.index }.sorted { $0.name < $1.name }
    }
}

/// Radios: an access point hears a station under one Ethernet address only, so frames of guests would be lost.
enum Radio {
    /// Whether the kernel drives the link by its Wi-Fi layer.
    static func isWireless(_ link: String, sys: String = "/sys/class/net") -> Bool {
        File.exists("\(sys)/\(link)/phy80211") || File.exists("\(sys)/\(link)/wireless")
    }
}

extension HomeMark {
    /// The mark of a bridge to a LAN and of the taps on it. The slash keeps it apart from networks' names.
    func bridgedAlias(_ network: String) -> String { "ursa:\(id):bridge/\(network)" }

    /// The network of a link so marked; nil when the mark is another.
    func bridgedNetwork(alias: String?) -> String? {
        let start = "ursa:\(id):bridge/"
        guard let alias, alias.hasPrefix(start) else { return nil }
        let name = String(alias.dropFirst(start.utf8.count))
        return NetworkWish.isLabel(name, limit: 32) ? name : nil
    }

    /// Name of the bridge that a `bridged` network makes.
    public func bridgeName(_ network: String) -> String { stemName(network) }
}

extension HostWish {
    /// The link that has the addresses of an interface: the bridge that it is to be a port of, or itself.
    func addressedLink(_ interface: String, _ home: HomeMark) -> String {
        bridges.first { $0.interface == interface }.map { home.bridgeName($0.name) } ?? interface
    }
}
