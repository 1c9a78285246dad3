import CLinux
import Glibc
import UrsaBase

/// Changes of one nftables table as messages to the kernel (nfnetlink, <linux/netfilter/nf_tables.h>): all of them are
/// carried out or none.
///
/// For what is small and frequent. A whole table is text and loaded by `nft` (`FirewallTable.load`), whose start alone
/// takes longer than a transaction of a few messages.
struct NftablesTransaction {
    private let family: TableFamily
    private let table: String
    private var requests: [NetlinkMessage] = []

    /// A transaction without changes.
    init(_ family: TableFamily, table: String) {
        self.family = family
        self.table = table
    }

    /// Appends a change. Every message about a table begins with the table's name, under attribute 1 (NFTA_TABLE_NAME,
    /// NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_ELEM_LIST_TABLE).
    mutating func append(
        _ type: nf_tables_msg_types, _ flags: Int32 = 0, _ action: String,
        _ body: (inout NetlinkMessage) -> Void = { _ in }
    ) {
        var request = NetlinkMessage(
            Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(type.rawValue), flags: flags, action: "\(action) in nftables")
        request.put(fixed: nfgenmsg(nfgen_family: family.rawValue, version: 0, res_id: 0))
        request.attribute(1, text: table)
        body(&request)
        requests.append(request)
    }

    /// Carries the changes out in the calling thread's network namespace.
    func commit() throws(UrsaError) {
        guard !requests.isEmpty else { return }
        try NetlinkSocket(NETLINK_NETFILTER).transact(
            requests, between: Self.border(NFNL_MSG_BATCH_BEGIN), and: Self.border(NFNL_MSG_BATCH_END))
    }

    private static func border(_ type: Int32) -> NetlinkMessage {
        var request = NetlinkMessage(Int(type), action: "begin or end a transaction of nftables")
        request.put(fixed: nfgenmsg(nfgen_family: 0, version: 0, res_id: UInt16(NFNL_SUBSYS_NFTABLES).bigEndian))
        return request
    }
}
