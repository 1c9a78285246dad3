import CLinux
import Glibc
import UrsaBase

/// What the packet filter of one namespace did with a packet that is watched (`meta nftrace`), as the kernel tells it by
/// netlink (NFNLGRP_NFTRACE; attributes of enum nft_trace_attributes in <linux/netfilter/nf_tables.h>).
struct TraceEvent: Sendable, Hashable {
    enum Kind: Sendable, Hashable { case rule, policy, returned }
    enum Verdict: Sendable, Hashable {
        case accept, drop, jump(String), goto(String), other
    }
    var kind: Kind
    /// `ip`, `ip6`, `inet`, …
    var family: String
    var table: String
    var chain: String
    /// The rule's handle, 0 for none.
    var rule: UInt64
    var verdict: Verdict
    /// Index of the link that it goes out by.
    var out: Int32?

    /// Reads NFT_MSG_TRACE: struct nfgenmsg (4 bytes), then attributes.
    init?(_ reply: NetlinkReply) {
        guard reply.type == Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_TRACE.rawValue) else { return nil }
        let attributes = reply.attributes(after: 4)
        guard let table = attributes[Int(NFTA_TRACE_TABLE.rawValue)]?.terminatedText,
            let chain = attributes[Int(NFTA_TRACE_CHAIN.rawValue)]?.terminatedText
        else { return nil }
        self.table = table
        self.chain = chain
        let families: [UInt8: String] = [1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"]
        family = families[reply.payload.number(at: 0, as: UInt8.self)] ?? "inet"
        func number(_ bytes: ArraySlice<UInt8>?) -> UInt32? {
            bytes.flatMap { $0.count >= 4 ? UInt32(bigEndian: $0.number(at: 0, as: UInt32.self)) : nil }
        }
        rule =
            attributes[Int(NFTA_TRACE_RULE_HANDLE.rawValue)].map {
                UInt64(bigEndian: $0.number(at: 0, as: UInt64.self))
            }
            ?? 0
        switch number(attributes[Int(NFTA_TRACE_TYPE.rawValue)]) {
        case 1: kind = .policy
        case 2: kind = .returned
        default: kind = .rule
        }
        out = number(attributes[Int(NFTA_TRACE_OIF.rawValue)]).map { Int32(bitPattern: $0) }
        let inner = attributes[Int(NFTA_TRACE_VERDICT.rawValue)].map { netlinkAttributes($0) } ?? [:]
        let code = number(inner[Int(NFTA_VERDICT_CODE.rawValue)]) ?? number(attributes[Int(NFTA_TRACE_POLICY.rawValue)])
        let target = inner[Int(NFTA_VERDICT_CHAIN.rawValue)]?.terminatedText ?? ""
        switch code.map({ Int32(bitPattern: $0) }) {
        case 0: verdict = .drop
        case 1: verdict = .accept
        case -3: verdict = .jump(target)
        case -4: verdict = .goto(target)
        default: verdict = .other
        }
    }
}

/// Hears the events of the namespace that it is opened in. Used by one thread at a time.
final class TraceEar: @unchecked Sendable {
    // SAFETY: made on a thread inside the namespace, then handed over whole.
    private let socket: NetlinkSocket

    init() throws(UrsaError) {
        socket = try NetlinkSocket(NETLINK_NETFILTER)
        try socket.listen(to: 9)  // NFNLGRP_NFTRACE
    }

    /// Events until it has been quiet for `quiet` seconds.
    func events(quiet: Double, stop: ([TraceEvent]) -> Bool = { _ in false }) -> [TraceEvent] {
        var result: [TraceEvent] = []
        var deadline = Deadline.after(seconds: quiet)
        while result.count < 2000 {
            var waiting = pollfd(fd: socket.fd.raw, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, deadline.millisecondsLeft) > 0 else {
                if deadline.isPast { return result }
                continue
            }
            // What was missed because it was too much is missed; what comes next is heard.
            let new = ((try? socket.news()) ?? []).compactMap { TraceEvent($0) }
            result += new
            if stop(result) { return result }
            if !new.isEmpty { deadline = .after(seconds: quiet) }
        }
        return result
    }
}

/// The table that makes the kernel tell what it does with a packet.
enum TraceTable {
    static let name = "ursa_trace"
    /// Chains that a packet reaches which nothing stopped, on its way in and out.
    static let ends = ["late_in", "late_out"]

    static func text(_ match: String) -> String {
        """
        table inet \(name)
        delete table inet \(name)
        table inet \(name) {
        chain early {
        type filter hook prerouting priority -350; policy accept;
        \(match) meta nftrace set 1
        }
        chain sent {
        type filter hook output priority -350; policy accept;
        \(match) meta nftrace set 1
        }
        chain late_in {
        type filter hook input priority 350; policy accept;
        }
        chain late_out {
        type filter hook postrouting priority 350; policy accept;
        }
        }

        """
    }

    static let removal = "table inet \(name)\ndelete table inet \(name)\n"
}
