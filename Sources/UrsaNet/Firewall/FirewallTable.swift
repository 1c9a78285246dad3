import CLinux
import Glibc
import UrsaBase

/// A table as the kernel has it: enough to tell whether it is still the one that was loaded.
struct TableSeen: Sendable, Hashable {
    /// The table's comment, which carries the digest of what was loaded.
    var comment: String?
    /// Chains with their use counts (rules in them and jumps to them).
    var chains: [String: Int]
    /// Sets and maps of single values with the number of their elements; those of ranges are not counted.
    var elements: [String: Int] = [:]
    /// The digest of the elements that were put there, see `Ruleset.stamp`.
    var stamp: String?
}

/// Loads and looks at nftables tables.
enum FirewallTable {
    /// Loads a text in one transaction: all of it or nothing.
    ///
    /// By `nft` in a child process: it can't take the caller down with it when it crashes, and the text is the form
    /// that people know from `nft list table`.
    /// - Parameters:
    ///   - namespace: a descriptor of the network namespace; nil for the calling thread's.
    ///   - isCheck: have it checked, not loaded.
    static func load(_ text: String, in namespace: Int32? = nil, isCheck: Bool = false) throws(UrsaError) {
        var program = Program("nft", (isCheck ? ["-c"] : []) + ["-f", "-"])
        program.networkNamespace = namespace
        let result = try program.run(input: Array(text.utf8), seconds: 30)
        guard result.end.isSuccess else {
            let words = result.errors.split(separator: "\n").prefix(3).joined(separator: " ").trimmed
            throw UrsaError(
                .io, "can't load the nftables table: \(words.isEmpty ? "nft \(result.end)" : words)",
                remedy: "`ursa doctor` tells what this kernel lacks")
        }
    }

    /// The table of that name, or nil; a few messages to the kernel, no child process.
    /// - Parameter counting: whether elements of sets and maps are counted.
    static func look(
        _ name: String, _ family: TableFamily = .inet, counting: Bool = false
    ) throws(UrsaError) -> TableSeen? {
        let socket = try NetlinkSocket(NETLINK_NETFILTER)
        var request = message(Int(NFT_MSG_GETTABLE.rawValue), name, family)
        request.tolerated = [ENOENT, EOPNOTSUPP]
        guard let table = try socket.request(request, dump: false)?.first else { return nil }
        let comment = table.attributes(after: 4)[Int(NFTA_TABLE_USERDATA.rawValue)].flatMap { data in
            // User data is a row of u8 type, u8 length, value; type 0 is the comment, NUL-terminated (libnftnl).
            data.count > 2 && data.number(at: 0, as: UInt8.self) == 0 ? data.dropFirst(2).terminatedText : nil
        }
        var chains: [String: Int] = [:]
        var list = NetlinkMessage(
            Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETCHAIN.rawValue), action: "list nftables chains")
        list.put(fixed: header(family))
        list.tolerated = [ENOENT]
        for reply in try socket.request(list, dump: true) ?? [] {
            let attributes = reply.attributes(after: 4)
            guard attributes[Int(NFTA_CHAIN_TABLE.rawValue)]?.terminatedText == name,
                let chain = attributes[Int(NFTA_CHAIN_NAME.rawValue)]?.terminatedText
            else { continue }
            chains[chain] = Int(attributes[Int(NFTA_CHAIN_USE.rawValue)]?.bigEndian32 ?? 0)
        }
        var elements: [String: Int] = [:]
        if counting { for set in try countable(name, socket) { elements[set] = try count(set, name, socket) } }
        var seen = TableSeen(comment: comment, chains: chains, elements: elements)
        if counting { seen.stamp = try stamp(name, socket) }
        return seen
    }

    /// Named sets and maps of single values that only their owner fills.
    private static func countable(_ table: String, _ socket: NetlinkSocket) throws(UrsaError) -> [String] {
        var request = NetlinkMessage(
            Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETSET.rawValue), action: "list sets of \(table)")
        request.put(fixed: header())
        request.attribute(Int(NFTA_SET_TABLE.rawValue), text: table)
        request.tolerated = [ENOENT]
        let others = NFT_SET_ANONYMOUS.rawValue | NFT_SET_INTERVAL.rawValue | NFT_SET_EVAL.rawValue
        var names: [String] = []
        for reply in try socket.request(request, dump: true) ?? [] {
            let attributes = reply.attributes(after: 4)
            let flags = attributes[Int(NFTA_SET_FLAGS.rawValue)]?.bigEndian32 ?? 0
            guard flags & others == 0, let name = attributes[Int(NFTA_SET_NAME.rawValue)]?.terminatedText
            else { continue }
            names.append(name)
        }
        return names
    }

    /// The only element of the set `stamp`.
    private static func stamp(_ table: String, _ socket: NetlinkSocket) throws(UrsaError) -> String? {
        for reply in try elements(NamedSet.stampName, table, socket) {
            guard let list = reply.attributes(after: 4)[Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)],
                let element = netlinkAttributes(list)[Int(NFTA_LIST_ELEM.rawValue)],
                let key = netlinkAttributes(element)[Int(NFTA_SET_ELEM_KEY.rawValue)],
                let bytes = netlinkAttributes(key)[Int(NFTA_DATA_VALUE.rawValue)]
            else { continue }
            return IPv6Address(bytes: Array(bytes))?.description
        }
        return nil
    }

    private static func elements(
        _ set: String, _ table: String, _ socket: NetlinkSocket
    ) throws(UrsaError) -> [NetlinkReply] {
        var request = NetlinkMessage(
            Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETSETELEM.rawValue), action: "list elements of \(set)")
        request.put(fixed: header())
        request.attribute(Int(NFTA_SET_ELEM_LIST_TABLE.rawValue), text: table)
        request.attribute(Int(NFTA_SET_ELEM_LIST_SET.rawValue), text: set)
        request.tolerated = [ENOENT]
        return try socket.request(request, dump: true) ?? []
    }

    private static func count(_ set: String, _ table: String, _ socket: NetlinkSocket) throws(UrsaError) -> Int {
        var count = 0
        for reply in try elements(set, table, socket) {
            guard var rest = reply.attributes(after: 4)[Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)] else { continue }
            // A row of attributes, one per element.
            while rest.count >= 4 {
                count += 1
                rest = rest.dropFirst(max(4, (Int(rest.number(at: 0, as: UInt16.self)) + 3) & ~3))
            }
        }
        return count
    }

    /// struct nfgenmsg: family, version 0, resource id 0.
    private static func header(_ family: TableFamily = .inet) -> nfgenmsg {
        nfgenmsg(nfgen_family: family.rawValue, version: 0, res_id: 0)
    }

    private static func message(_ type: Int, _ name: String, _ family: TableFamily) -> NetlinkMessage {
        var request = NetlinkMessage(Int(NFNL_SUBSYS_NFTABLES) << 8 | type, action: "look at the table \(name)")
        request.put(fixed: header(family))
        request.attribute(Int(NFTA_TABLE_NAME.rawValue), text: name)
        return request
    }
}

extension ArraySlice<UInt8> {
    /// nftables' numbers are big-endian.
    fileprivate var bigEndian32: UInt32 { UInt32(bigEndian: number(at: 0, as: UInt32.self)) }
}
