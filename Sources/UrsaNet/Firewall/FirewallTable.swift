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
    /// What tells of its elements; the newest counts.
    var stamps: [Stamp] = []
}

/// Loads and looks at nftables tables.
enum FirewallTable {
    /// Seconds for a transaction. The first one after a boot has the kernel load its modules, a dozen, one after the
    /// other; on an emulated processor that others use, too, that alone was seen to take half a minute.
    private static let limit: Double = 180

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
        try verify(program.run(input: Array(text.utf8), seconds: limit))
    }

    /// Puts a table in the place of the one that is there, in the calling thread's namespace. Returns as soon as the new
    /// one is in force.
    static func replace(by ruleset: Ruleset) throws(UrsaError) {
        guard let listener = try? TableListener(table: ruleset.table, comment: ruleset.comment) else {
            return try load(ruleset.text)
        }
        var program = Program("nft", ["-f", "-"])
        // The listener's socket must not be the one whose closing waits: nft has it open until it ends.
        program.descriptors[3] = listener.descriptor
        let result = try program.run(
            input: Array(ruleset.text.utf8), seconds: limit, until: listener.descriptor, listener.hasHeard)
        if let result { try verify(result) }
    }

    private static func verify(_ result: Program.Output) throws(UrsaError) {
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
        let comment = comment(table.attributes(after: 4))
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
        var seen = TableSeen(comment: comment, chains: chains)
        if counting {
            for set in try countable(name, socket) where set.name != NamedSet.stampName {
                elements[set.name] = if let count = set.count { count } else { try count(set.name, name, socket) }
            }
            seen.elements = elements
            seen.stamps = try stamps(name, socket)
        }
        return seen
    }

    /// The comment among a table's attributes.
    static func comment(_ attributes: [Int: ArraySlice<UInt8>]) -> String? {
        attributes[Int(NFTA_TABLE_USERDATA.rawValue)].flatMap { data in
            // User data is a row of u8 type, u8 length, value; type 0 is the comment, NUL-terminated (libnftnl).
            data.count > 2 && data.number(at: 0, as: UInt8.self) == 0 ? data.dropFirst(2).terminatedText : nil
        }
    }

    /// NFTA_SET_COUNT of Linux 6.16 and later: how many elements a set has. Not in the headers of Debian 12.
    private static let setCount = 20

    /// Named sets and maps of single values that only their owner fills; with their count where the kernel says it.
    private static func countable(
        _ table: String, _ socket: NetlinkSocket
    ) throws(UrsaError) -> [(name: String, count: Int?)] {
        var request = NetlinkMessage(
            Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETSET.rawValue), action: "list sets of \(table)")
        request.put(fixed: header())
        request.attribute(Int(NFTA_SET_TABLE.rawValue), text: table)
        request.tolerated = [ENOENT]
        let others = NFT_SET_ANONYMOUS.rawValue | NFT_SET_INTERVAL.rawValue | NFT_SET_EVAL.rawValue
        var sets: [(name: String, count: Int?)] = []
        for reply in try socket.request(request, dump: true) ?? [] {
            let attributes = reply.attributes(after: 4)
            let flags = attributes[Int(NFTA_SET_FLAGS.rawValue)]?.bigEndian32 ?? 0
            guard flags & others == 0, let name = attributes[Int(NFTA_SET_NAME.rawValue)]?.terminatedText
            else { continue }
            sets.append((name, attributes[setCount].map { Int($0.bigEndian32) }))
        }
        return sets
    }

    private static func stamps(_ table: String, _ socket: NetlinkSocket) throws(UrsaError) -> [Stamp] {
        var stamps: [Stamp] = []
        for reply in try elements(NamedSet.stampName, table, socket) {
            for element in row(reply) {
                guard let key = netlinkAttributes(element)[Int(NFTA_SET_ELEM_KEY.rawValue)],
                    let bytes = netlinkAttributes(key)[Int(NFTA_DATA_VALUE.rawValue)], bytes.count == 20,
                    let digest = IPv6Address(bytes: Array(bytes.dropFirst(4)))
                else { continue }
                stamps.append(Stamp(number: bytes.number(at: 0, as: UInt32.self), digest: digest))
            }
        }
        return stamps
    }

    /// The elements in a message, one attribute each.
    private static func row(_ reply: NetlinkReply) -> [ArraySlice<UInt8>] {
        guard var rest = reply.attributes(after: 4)[Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)] else { return [] }
        var result: [ArraySlice<UInt8>] = []
        while rest.count >= 4 {
            let length = max(4, Int(rest.number(at: 0, as: UInt16.self)))
            result.append(rest.prefix(length).dropFirst(4))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return result
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
        try elements(set, table, socket).reduce(0) { $0 + row($1).count }
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
