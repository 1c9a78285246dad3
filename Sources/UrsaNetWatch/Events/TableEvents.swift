import CLinux
import UrsaBase

/// Tells damage from the kernel's news about nftables.
///
/// Changes come as a transaction: all its messages, then NFT_MSG_NEWGEN with the process that made it. A table of ours
/// that goes and comes within one was replaced by Ursa itself.
struct TableEvents {
    static let groups: [Int32] = [Int32(NFNLGRP_NFTABLES.rawValue)]

    private var isLost = false
    private var isReplaced = false
    private var isTouched = false
    private var isOthersTouched = false

    /// What a message means: in words when something must be looked at, else nil.
    mutating func meaning(_ message: KernelMessage, _ orders: WatchOrders) -> String? {
        guard message.type >> 8 == Int(NFNL_SUBSYS_NFTABLES) else { return nil }
        let kind = message.type & 0xff
        // struct nfgenmsg is 4 bytes; attribute 1 is the table's name in every message but NEWGEN's.
        if kind == Int(NFT_MSG_NEWGEN.rawValue) {
            defer { self = TableEvents() }
            return end(message, orders)
        }
        guard let table = message.attribute(1, after: 4)?.terminatedText else { return nil }
        guard table == orders.table else {
            // Elements come and go all the time and change nobody's mind.
            if kind <= Int(NFT_MSG_DELRULE.rawValue), !table.hasPrefix("ursa") { isOthersTouched = true }
            return nil
        }
        switch kind {
        case Int(NFT_MSG_DELTABLE.rawValue): isLost = true
        case Int(NFT_MSG_NEWTABLE.rawValue):
            isLost = false
            isReplaced = true
        default: isTouched = true
        }
        return nil
    }

    private func end(_ message: KernelMessage, _ orders: WatchOrders) -> String? {
        let name = message.attribute(Int(NFTA_GEN_PROC_NAME.rawValue), after: 4)?.terminatedText ?? "somebody"
        let pid = message.attribute(Int(NFTA_GEN_PROC_PID.rawValue), after: 4).map {
            " (pid \(UInt32(bigEndian: $0.number(at: 0, as: UInt32.self))))"
        }
        let who = "\(name)\(pid ?? "")"
        if isLost { return "the table \(orders.table) was removed by \(who)" }
        if isTouched, !isReplaced, name != "ursa" { return "the table \(orders.table) was changed by \(who)" }
        return isOthersTouched && orders.watchesOthers ? "other tables were changed by \(who)" : nil
    }
}
