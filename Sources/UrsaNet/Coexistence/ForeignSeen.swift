import CLinux
import Glibc
import UrsaBase

/// A family of nftables, by the number that the kernel has for it (<linux/netfilter.h>).
enum TableFamily: UInt8, Sendable, Hashable {
    case inet = 1
    case ip = 2
    case netdev = 5
    case bridge = 7
    case ip6 = 10

    /// As nft writes it.
    var name: String { "\(self)" }
}

/// A chain of somebody's table.
struct ForeignChain: Sendable, Hashable {
    var family: TableFamily
    var table: String
    var name: String
    /// Where it hangs (NF_INET_FORWARD …); nil for a chain that is jumped to.
    var hook: UInt32?
    /// Whether what its rules don't decide is dropped.
    var drops = false

    /// NF_INET_FORWARD of <linux/netfilter.h>.
    static let forwardHook: UInt32 = 2

    /// `ip filter FORWARD`.
    var title: String { "\(family.name) \(table) \(name)" }
}

/// A rule of ours in somebody's chain.
struct TaggedRule: Sendable, Hashable {
    var chain: ForeignChain
    /// The kernel's number for it.
    var handle: UInt64
}

/// What other firewalls are on the host, as far as they can be in our packets' way.
struct ForeignSeen: Sendable, Hashable {
    /// All chains of tables that are not this home's.
    var chains: Set<ForeignChain> = []
    /// Rules of ours in them.
    var tagged: [TaggedRule] = []
    /// Links that firewalld has in a zone.
    var bound: Set<String> = []
    /// Dropping chains in which somebody has put a rule about our mark.
    var opened: Set<ForeignChain> = []

    func chain(_ family: TableFamily, _ table: String, _ name: String) -> ForeignChain? {
        chains.first { $0.family == family && $0.table == table && $0.name == name }
    }
}

extension ForeignSeen {
    /// Looks at the calling thread's namespace: a dump of all chains, and of the rules of the few that are ours to use.
    static func look(_ home: HomeMark, links: [String]) throws(UrsaError) -> ForeignSeen {
        let socket = try NetlinkSocket(NETLINK_NETFILTER)
        var result = ForeignSeen()
        var list = NetlinkMessage(
            Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETCHAIN.rawValue), action: "list nftables chains")
        list.put(fixed: nfgenmsg(nfgen_family: 0, version: 0, res_id: 0))
        list.tolerated = [ENOENT, EOPNOTSUPP]
        for reply in try socket.request(list, dump: true) ?? [] {
            if let chain = ForeignChain(reply), chain.table != home.tableName { result.chains.insert(chain) }
        }
        for hook in ForeignHook.all {
            guard let chain = result.chain(hook.family, hook.table, hook.chain) else { continue }
            for rule in try rules(chain, socket) where rule.comment == home.tag {
                result.tagged.append(TaggedRule(chain: chain, handle: rule.handle))
            }
        }
        for chain in result.chains where chain.drops && chain.hook == ForeignChain.forwardHook {
            if try rules(chain, socket).contains(where: { $0.bytes.areAboutOurMark }) { result.opened.insert(chain) }
        }
        // firewalld names the links of its zones in the rules that choose a zone.
        for chain in result.chains where chain.table == Firewalld.table && Firewalld.zoneChains.contains(chain.name) {
            let bytes = try rules(chain, socket).flatMap(\.bytes)
            for link in links where bytes.firstRange(ofBytes: Array(link.utf8) + [0]) { result.bound.insert(link) }
        }
        return result
    }

    private static func rules(
        _ chain: ForeignChain, _ socket: NetlinkSocket
    ) throws(UrsaError) -> [(handle: UInt64, comment: String?, bytes: [UInt8])] {
        var list = NetlinkMessage(
            Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETRULE.rawValue), action: "list rules of \(chain.title)")
        list.put(fixed: nfgenmsg(nfgen_family: chain.family.rawValue, version: 0, res_id: 0))
        list.attribute(Int(NFTA_RULE_TABLE.rawValue), text: chain.table)
        list.attribute(Int(NFTA_RULE_CHAIN.rawValue), text: chain.name)
        list.tolerated = [ENOENT]
        return (try socket.request(list, dump: true) ?? []).map { reply in
            let attributes = reply.attributes(after: 4)
            let handle = UInt64(
                bigEndian: attributes[Int(NFTA_RULE_HANDLE.rawValue)]?.number(at: 0, as: UInt64.self) ?? 0)
            let comment = attributes[Int(NFTA_RULE_USERDATA.rawValue)].flatMap { data in
                data.number(at: 0, as: UInt8.self) == 0 && data.count > 2 ? data.dropFirst(2).terminatedText : nil
            }
            return (handle, comment, Array(attributes[Int(NFTA_RULE_EXPRESSIONS.rawValue)] ?? []))
        }
    }
}

extension ForeignChain {
    /// Reads NFT_MSG_NEWCHAIN; nil for a family that no packet of ours meets.
    fileprivate init?(_ reply: NetlinkReply) {
        let attributes = reply.attributes(after: 4)
        guard let family = TableFamily(rawValue: reply.payload.number(at: 0, as: UInt8.self)),
            let table = attributes[Int(NFTA_CHAIN_TABLE.rawValue)]?.terminatedText,
            let name = attributes[Int(NFTA_CHAIN_NAME.rawValue)]?.terminatedText
        else { return nil }
        self.init(family: family, table: table, name: name)
        func number(_ bytes: ArraySlice<UInt8>?) -> UInt32? {
            bytes.map { UInt32(bigEndian: $0.number(at: 0, as: UInt32.self)) }
        }
        if let nest = attributes[Int(NFTA_CHAIN_HOOK.rawValue)] {
            hook = number(netlinkAttributes(nest)[Int(NFTA_HOOK_HOOKNUM.rawValue)])
        }
        // NF_DROP is 0; only a base chain has a policy.
        drops = hook != nil && number(attributes[Int(NFTA_CHAIN_POLICY.rawValue)]) == 0
    }
}

extension HomeMark {
    /// The comment of a rule of this home in somebody else's chain.
    var tag: String { "ursa:\(id)" }
}

extension [UInt8] {
    /// Whether a rule's expressions compare a packet's mark with ours: by nftables' own words, mask and value as two
    /// attributes, or by those of iptables' match (struct xt_mark_mtinfo1: value, mask).
    fileprivate var areAboutOurMark: Bool {
        let mark = Swift.withUnsafeBytes(of: RulesetPart.passMark) { Array($0) }
        return firstRange(ofBytes: [8, 0, UInt8(NFTA_DATA_VALUE.rawValue), 0] + mark)
            || firstRange(ofBytes: mark + mark)
    }

    fileprivate func firstRange(ofBytes sought: [UInt8]) -> Bool {
        guard !sought.isEmpty, count >= sought.count else { return false }
        return (0...(count - sought.count)).contains { self[$0..<($0 + sought.count)].elementsEqual(sought) }
    }
}
