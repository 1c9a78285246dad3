import Glibc
import UrsaBase

/// systemd-resolved, where the host's names come from it: it is told per link whose names are asked there
/// (resolvectl(1)), so that no file of the host is changed. The link takes the words along when it goes.
struct SystemResolver: Sendable, Hashable {
    /// Whether it runs here and can be spoken to.
    static var isThere: Bool {
        access("/run/systemd/resolve/io.systemd.Resolve", F_OK) == 0 && Path.program("resolvectl") != nil
    }

    /// The host's link to the network.
    let link: String
    let servers: [IPAddress]
    /// The network's domain, also for searching, and its reverse zones, only for routing.
    let domains: [String]

    /// Nil for networks that the host can't reach.
    init?(_ home: HomeMark, _ wish: NetworkWish) {
        guard wish.isReachable else { return nil }
        link = home.stemName(wish.name)
        // On a LAN the IPv6 one is behind the LAN's own prefix.
        servers = [.v4(wish.gateway)] + (wish.model == .lan ? [] : wish.gateway6.map { [.v6($0)] } ?? [])
        domains = [wish.domain] + wish.reverseZones.map { "~\($0)" }
    }

    /// What was said, for telling later whether it still is what should be said.
    func note(index: Int32) -> String {
        ([link, "\(index)"] + servers.map(\.description) + domains).joined(separator: " ") + "\n"
    }

    /// The programs to run, in order.
    var commands: [[String]] {
        [
            ["dns", link] + servers.map(\.description), ["domain", link] + domains,
            // Other names are not asked here: they would only go round.
            ["default-route", link, "no"],
        ]
    }

    func tell() throws(UrsaError) {
        for arguments in commands {
            let result = try Program("resolvectl", arguments).run(seconds: 10)
            guard result.end.isSuccess else {
                throw UrsaError(
                    .io, "systemd-resolved does not take the names of \(link): \(result.errors.trimmed)",
                    remedy: "`resolvectl status` tells how it is")
            }
        }
    }

    /// Where what was said to it is noted, in the network's run folder.
    static func notePath(_ home: HomeMark, _ network: String) -> String { home.folder(network: network) + "/resolved" }
    /// In place of a note when it did not listen.
    static let refused = "refused\n"
}

/// Tells systemd-resolved of a network's names. A resolver that does not listen is no reason to be without the network:
/// the names file serves then.
struct TellResolver: NetStep {
    let home: HomeMark
    let name: String
    let resolver: SystemResolver
    let phase = Phase.make
    var network: String? { name }
    var line: String { "~ systemd-resolved: \(resolver.domains.first ?? "") is asked over \(resolver.link)" }

    func apply() throws(UrsaError) {
        let path = SystemResolver.notePath(home, name)
        guard let link = try NetlinkSocket().link(resolver.link) else {
            throw UrsaError(.io, "the link \(resolver.link) went away while it was set up")
        }
        do { try resolver.tell() } catch { return try RunFile.replace(path, text: SystemResolver.refused) }
        try RunFile.replace(path, text: resolver.note(index: link.index))
    }

    // It goes with the link.
    func undo() throws(UrsaError) { try File.remove(SystemResolver.notePath(home, name)) }
}

extension NetworkWish {
    /// Zones of the names that belong to the network's addresses (RFC 1035, 3.5; RFC 3596, 2.5). Of a LAN that is not
    /// ours to say.
    var reverseZones: [String] {
        guard model != .lan else { return [] }
        var zones: [String] = []
        // A subnet that ends inside of a byte is several zones.
        let bytes = (subnet.prefix + 7) / 8
        let count = 1 << UInt32(bytes * 8 - subnet.prefix)
        if bytes < 4 {
            for number in 0..<UInt32(count) {
                let first = IPv4Address(subnet.address.value &+ number << UInt32(32 - bytes * 8))
                zones.append(
                    first.bytes.prefix(bytes).reversed().map(String.init).joined(separator: ".") + ".in-addr.arpa")
            }
        } else if subnet.count <= 256 {
            let parent = subnet.address.bytes.prefix(3).reversed().map(String.init).joined(separator: ".")
            zones.append("\(parent).in-addr.arpa")
        }
        if let subnet6 {
            let digits = hexadecimal(subnet6.address.bytes.prefix(8)).reversed().map(String.init)
            zones.append(digits.joined(separator: ".") + ".ip6.arpa")
        }
        return zones
    }
}
