import CLinux
import Glibc
import UrsaBase

/// An address that the host answers for on a LAN.
struct LANEntry: Sendable, Hashable {
    /// The host's link on the LAN.
    var link: String
    var address: IPAddress
}

/// The host's links to the world, and what it answers for there.
struct LANSeen: Sendable, Hashable {
    /// A link that is no network's.
    struct Interface: Sendable, Hashable {
        var index: Int32
        var mac: [UInt8]
        var mtu: UInt32
        var isUp: Bool
        /// Kernel settings that answering for others needs, as they are; those that the kernel lacks are missing.
        var settings: [String: String] = [:]
    }
    var interfaces: [String: Interface] = [:]
    /// Addresses that Ursa published, those that another home's networks need left out.
    var entries: Set<LANEntry> = []
    /// MTU of the narrowest link that a default route goes over.
    var narrowest: Int?
    /// The host's main addresses by link, in the order of the kernel.
    var addresses: [String: [AddressPrefix]] = [:]
}

extension LANSeen {
    /// What is there, from what the kernel has listed.
    init(
        _ home: HomeMark, _ links: [Link], _ addresses: [LinkAddress], _ routes: [Route], _ published: [ProxyEntry]
    ) {
        let names = Dictionary(links.map { ($0.index, $0.name) }, uniquingKeysWith: { first, _ in first })
        for link in links where link.alias?.hasPrefix("ursa:") != true && link.name != "lo" {
            var interface = Interface(index: link.index, mac: link.mac, mtu: link.mtu, isUp: link.isUp)
            for name in LANSettings.names(link.name) { interface.settings[name] = Sysctl.read(name) }
            interfaces[link.name] = interface
        }
        for address in addresses {
            guard let name = names[address.link] else { continue }
            let prefix = AddressPrefix(address: address.address, prefix: address.prefix)
            self.addresses[name, default: []].append(prefix)
        }
        let others = Set(
            links.filter { $0.alias?.hasPrefix("ursa:") == true && home.network(alias: $0.alias) == nil }.map(\.index))
        let elsewhere = Set(routes.filter { $0.link.map(others.contains) == true }.map(\.destination))
        for entry in published where entry.owner == KernelOwner.ursa {
            guard let name = names[entry.link], !elsewhere.contains(where: { $0.contains(entry.address) }) else {
                continue
            }
            entries.insert(LANEntry(link: name, address: entry.address))
        }
        for route in routes where route.destination.prefix == 0 && route.table == 254 {
            guard route.type == UInt8(RTN_UNICAST), let link = links.first(where: { $0.index == route.link }),
                home.network(alias: link.alias) == nil, link.mtu > 0
            else { continue }
            narrowest = min(narrowest ?? .max, Int(link.mtu))
        }
    }
}

/// Settings of the host's interface on a LAN on which it answers for guests.
enum LANSettings {
    static func all(_ link: String) -> [Setting] {
        [
            // Answers come at once, not after up to 0.8 s.
            Setting(name: "ipv4/neigh/\(link)/proxy_delay", value: "0"),
            Setting(name: "ipv6/neigh/\(link)/proxy_delay", value: "0", optional: true),
            // Only for addresses with an entry of their own; IPv4 needs no switch for those.
            Setting(name: "ipv6/conf/\(link)/proxy_ndp", value: "1", optional: true),
        ]
    }

    static func names(_ link: String) -> [String] { all(link).map(\.name) }

    /// Whether a setting is one of these, of any link.
    static func contains(_ name: String) -> Bool { name.hasSuffix("/proxy_delay") || name.hasSuffix("/proxy_ndp") }
}
