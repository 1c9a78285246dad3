import CLinux
import Glibc
import UrsaBase

/// Hears of the calling thread's namespace when a table has been replaced.
///
/// Whoever deletes something in nftables waits when closing the socket, until the kernel has really forgotten it: 10 to
/// 15 ms for `nft`, after its transaction is in force. What it waits for is of no use to anybody; so the news of the
/// transaction counts, not the end of `nft`.
final class TableListener {
    private let table: String
    private let comment: String
    private let socket: NetlinkSocket
    private var isTableNew = false

    /// Listens for a table with a comment.
    init(table: String, comment: String) throws(UrsaError) {
        self.table = table
        self.comment = comment
        socket = try NetlinkSocket(NETLINK_NETFILTER)
        try socket.listen(to: Int32(NFNLGRP_NFTABLES.rawValue))
    }

    /// Readable when there is news.
    var descriptor: Int32 { socket.fd.raw }

    /// Whether the table is there and in force. To be asked when there is news.
    func hasHeard() -> Bool {
        // What was missed is made up for by the end of the program.
        for news in (try? socket.news()) ?? [] where news.type >> 8 == Int(NFNL_SUBSYS_NFTABLES) {
            switch news.type & 0xff {
            case Int(NFT_MSG_NEWTABLE.rawValue):
                let attributes = news.attributes(after: 4)
                isTableNew =
                    attributes[Int(NFTA_TABLE_NAME.rawValue)]?.terminatedText == table
                    && FirewallTable.comment(attributes) == comment
            // The last message of every transaction.
            case Int(NFT_MSG_NEWGEN.rawValue):
                if isTableNew { return true }
            default: break
            }
        }
        return false
    }
}
