import CLinux
import Glibc
import UrsaBase

/// DHCP answers without a UDP checksum.
///
/// The kernel leaves a checksum to the network card, also where the "card" is a bridge to guests and nobody ever fills
/// it in. Guests' kernels know that; DHCP clients that read raw packets don't, and drop the answer. Over IPv4 a checksum
/// of zero says that there is none (RFC 768), which everybody takes. (Turning the offload off instead would cost all
/// traffic its segmentation offload.)
///
/// The rule is written by nfnetlink: a child process for it would be a tenth of the time that a network takes.
enum ChecksumRule {
    /// In the network's own namespace, family ip.
    static let table = "ursa-dhcp"
    static let fact = "DHCP answers carry no checksum"

    /// Ports without a tap have their offloads off: the kernel fills the checksum in on the way out, onto what stands
    /// there, so a zero would come out wrong.
    private static var isNeeded: Bool { HostNetworks.hasTaps }

    /// Whether the calling thread's namespace has it.
    static var isThere: Bool {
        guard isNeeded else { return true }
        guard let seen = try? FirewallTable.look(table, .ip) else { return false }
        return (seen.chains["answers"] ?? 0) > 0
    }

    /// Puts it, alone, into the calling thread's namespace.
    static func put() throws(UrsaError) {
        guard isNeeded else { return }
        var transaction = NftablesTransaction(.ip, table: table)
        // Who deletes something waits for the kernel when the socket is closed: 10 ms that a new network need not take.
        if try FirewallTable.look(table, .ip) != nil { transaction.append(NFT_MSG_DELTABLE, 0, "remove a table") }
        transaction.append(NFT_MSG_NEWTABLE, NLM_F_CREATE, "make a table")
        transaction.append(NFT_MSG_NEWCHAIN, NLM_F_CREATE, "make a chain") {
            $0.attribute(Int(NFTA_CHAIN_NAME.rawValue), text: "answers")
            $0.nest(Int(NFTA_CHAIN_HOOK.rawValue)) {
                $0.attribute(Int(NFTA_HOOK_HOOKNUM.rawValue), UInt32(4).bigEndian)  // NF_INET_POST_ROUTING
                $0.attribute(Int(NFTA_HOOK_PRIORITY.rawValue), Int32(-150).bigEndian)
            }
            $0.attribute(Int(NFTA_CHAIN_TYPE.rawValue), text: "filter")
        }
        transaction.append(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "add a rule") {
            $0.attribute(Int(NFTA_RULE_CHAIN.rawValue), text: "answers")
            $0.nest(Int(NFTA_RULE_EXPRESSIONS.rawValue), expressions)
        }
        try transaction.commit()
    }

    /// meta l4proto udp, udp sport 67, udp checksum set 0.
    private static func expressions(_ list: inout NetlinkMessage) {
        // Register 1 of 16 bytes holds each value.
        func expression(_ name: String, _ body: (inout NetlinkMessage) -> Void) {
            list.nest(Int(NFTA_LIST_ELEM.rawValue)) {
                $0.attribute(Int(NFTA_EXPR_NAME.rawValue), text: name)
                $0.nest(Int(NFTA_EXPR_DATA.rawValue), body)
            }
        }
        func number(_ value: UInt32) -> UInt32 { value.bigEndian }
        expression("meta") {
            $0.attribute(Int(NFTA_META_KEY.rawValue), number(UInt32(NFT_META_L4PROTO.rawValue)))
            $0.attribute(Int(NFTA_META_DREG.rawValue), number(1))
        }
        expression("cmp") { compare(&$0, [17]) }
        expression("payload") {
            $0.attribute(Int(NFTA_PAYLOAD_DREG.rawValue), number(1))
            $0.attribute(Int(NFTA_PAYLOAD_BASE.rawValue), number(2))  // the transport header
            $0.attribute(Int(NFTA_PAYLOAD_OFFSET.rawValue), number(0))
            $0.attribute(Int(NFTA_PAYLOAD_LEN.rawValue), number(2))
        }
        expression("cmp") { compare(&$0, [0, 67]) }
        expression("immediate") {
            $0.attribute(Int(NFTA_IMMEDIATE_DREG.rawValue), number(1))
            $0.nest(Int(NFTA_IMMEDIATE_DATA.rawValue)) { $0.attribute(Int(NFTA_DATA_VALUE.rawValue), [0, 0]) }
        }
        expression("payload") {
            $0.attribute(Int(NFTA_PAYLOAD_SREG.rawValue), number(1))
            $0.attribute(Int(NFTA_PAYLOAD_BASE.rawValue), number(2))
            $0.attribute(Int(NFTA_PAYLOAD_OFFSET.rawValue), number(6))
            $0.attribute(Int(NFTA_PAYLOAD_LEN.rawValue), number(2))
            $0.attribute(Int(NFTA_PAYLOAD_CSUM_TYPE.rawValue), number(0))
            $0.attribute(Int(NFTA_PAYLOAD_CSUM_OFFSET.rawValue), number(0))
        }
    }

    private static func compare(_ message: inout NetlinkMessage, _ value: [UInt8]) {
        message.attribute(Int(NFTA_CMP_SREG.rawValue), UInt32(1).bigEndian)
        message.attribute(Int(NFTA_CMP_OP.rawValue), UInt32(0).bigEndian)  // equal
        message.nest(Int(NFTA_CMP_DATA.rawValue)) { $0.attribute(Int(NFTA_DATA_VALUE.rawValue), value) }
    }
}
