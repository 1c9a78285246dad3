import CLinux
import Glibc
public import UrsaBase

/// Impairing what machines receive.
///
/// Loss is a rule of a bridge table of its own in the network's namespace: it holds for machines that join later too,
/// works on every kernel with nftables, and goes with the namespace. A rate is a queue on the taps, so is a delay, for
/// which the kernel must have netem. What is in force is read back from the table's comments; there is no file.
extension HostNetworks {
    /// Everything that is impaired on a network: by tap, `*` for the whole network.
    public func impairments(network: String) throws(UrsaError) -> [String: Impairment] {
        guard home.namespace(network).exists else { return [:] }
        return try home.namespace(network).run { () throws(UrsaError) -> [String: Impairment] in
            try ImpairTable.read()
        }
    }

    /// Sets, changes or (with nil) takes away an impairment.
    ///
    /// - Parameters:
    ///   - tap: the machine's link on the network; nil: all machines of the network.
    /// - Throws: `.unsupported` when a delay is wanted and the kernel has no netem; then nothing is changed.
    public func impair(network: String, tap: String?, _ impairment: Impairment?) throws(UrsaError) {
        guard home.namespace(network).exists else {
            guard place(network) == nil else {
                throw UrsaError(
                    .unsupported, "network \(network) has its bridge on the host, where an impairment would outlive it",
                    remedy: "impair machines of networks that live in a namespace of their own")
            }
            throw UrsaError(.notFound, "the network \(network) is not up", remedy: "`ursa net ls` lists networks")
        }
        try home.namespace(network).run { () throws(UrsaError) in
            var all = try ImpairTable.read()
            let wanted = impairment.flatMap { $0.isNone ? nil : $0 }
            let before = all
            all[tap ?? ImpairTable.everybody] = wanted
            let links = try NetlinkSocket().links()
            let ports = links.filter { link in
                link.name != BridgeName.stem && link.master != nil
                    && links.contains { $0.index == link.master && $0.name == BridgeName.bridge }
            }
            if let tap, !ports.contains(where: { $0.name == tap }) {
                throw UrsaError(.notFound, "\(tap) is no port of the network \(network)")
            }
            for port in ports where tap == nil || port.name == tap {
                // A machine's own setting goes before its network's.
                let old = before[port.name] ?? before[ImpairTable.everybody] ?? Impairment()
                let new = all[port.name] ?? all[ImpairTable.everybody] ?? Impairment()
                if old.queue != new.queue { try ShapedQueue.set(port, new) }
            }
            try FirewallTable.load(ImpairTable.text(all))
        }
    }
}

/// The table that loses frames.
enum ImpairTable {
    static let name = "ursa_impair"
    static let everybody = "*"
    private static let start = "impair "

    /// The text that replaces the table; without impairments, that takes it away.
    static func text(_ all: [String: Impairment]) -> String {
        let removal = "table bridge \(name)\ndelete table bridge \(name)\n"
        guard !all.isEmpty else { return removal }
        var rules: [String] = []
        // A tap with a setting of its own returns before the network's rules.
        for (tap, impairment) in all.sorted(by: { $0.key == everybody ? false : $1.key == everybody || $0.key < $1.key }
        ) {
            let match = tap == everybody ? "" : "oifname \"\(tap)\" "
            let mark = "counter comment \"\(start)\(tap) \(impairment.mark)\""
            rules.append(match + mark)
            if impairment.loss > 0 {
                // nft refuses a comparison that is always true.
                let dice = impairment.loss < 10000 ? "numgen random mod 10000 < \(impairment.loss) " : ""
                rules.append("\(match)\(dice)counter drop")
            }
            if tap != everybody { rules.append(match + "accept") }
        }
        return removal
            + """
            table bridge \(name) {
            chain lose {
            type filter hook postrouting priority 0; policy accept;
            \(rules.joined(separator: "\n"))
            }
            }

            """
    }

    /// What is in force in the calling thread's namespace.
    static func read() throws(UrsaError) -> [String: Impairment] {
        let socket = try NetlinkSocket(NETLINK_NETFILTER)
        var request = NetlinkMessage(
            Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETTABLE.rawValue), action: "look at the table \(name)")
        request.put(fixed: nfgenmsg(nfgen_family: 7, version: 0, res_id: 0))  // NFPROTO_BRIDGE
        request.attribute(Int(NFTA_TABLE_NAME.rawValue), text: name)
        request.tolerated = [ENOENT, EOPNOTSUPP, EPERM]
        guard try socket.request(request, dump: false)?.isEmpty == false else { return [:] }
        let listing = try Program("nft", ["-j", "list", "table", "bridge", name]).run(seconds: 10)
        guard listing.end.isSuccess else { return [:] }
        return comments(listing.output)
    }

    /// The impairments in what `nft -j` printed.
    static func comments(_ bytes: [UInt8]) -> [String: Impairment] {
        var result: [String: Impairment] = [:]
        for object in (try? JSON.parse(bytes))?["nftables"]?.array ?? [] {
            guard let comment = object["rule"]?["comment"]?.string, comment.hasPrefix(start) else { continue }
            let parts = comment.dropFirst(start.count).split(separator: " ", maxSplits: 1)
            if parts.count == 2, let impairment = Impairment(mark: parts[1]) { result[String(parts[0])] = impairment }
        }
        return result
    }
}
