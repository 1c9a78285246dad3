import CLinux
import Glibc
import UrsaBase

/// An element of a set or map as the kernel takes it, from the text that nft would read.
struct ElementBytes: Sendable, Hashable {
    /// What a map leads to.
    enum Value: Sendable, Hashable {
        case data([UInt8])
        /// NFT_JUMP or NFT_GOTO, and the chain.
        case verdict(Int32, String)
    }

    let key: [UInt8]
    /// Nil in a set.
    let value: Value?

    /// Nil for an element that is not of the set's types, or of a type that is not written here: ranges, and names of
    /// services; such a one is left to nft.
    init?(_ element: String, of set: NamedSet) {
        guard set.isCountable else { return nil }
        // A colon with blanks around it stands before a map's value only.
        let halves = element.split(separator: " : ").map(String.init)
        guard halves.count == (set.value == nil ? 1 : 2), let key = Self.bytes(halves[0], types: set.key) else {
            return nil
        }
        self.key = key
        switch set.value {
        case nil: value = nil
        case "verdict":
            let words = halves[1].split(separator: " ").map(String.init)
            guard words.count == 2, let code = ["jump": NFT_JUMP, "goto": NFT_GOTO][words[0]] else { return nil }
            value = .verdict(code.rawValue, words[1])
        case let types?:
            guard let data = Self.bytes(halves[1], types: types) else { return nil }
            value = .data(data)
        }
    }

    /// Parts of a concatenation are padded to registers of 4 bytes each.
    private static func bytes(_ text: String, types: String) -> [UInt8]? {
        let types = types.split(separator: " . ").map(String.init)
        let parts = text.split(separator: " . ").map(String.init)
        guard parts.count == types.count else { return nil }
        if types.count == 1 { return bytes(of: parts[0], type: types[0]) }
        var result: [UInt8] = []
        for (part, type) in zip(parts, types) {
            guard let bytes = bytes(of: part, type: type) else { return nil }
            result += bytes + [UInt8](repeating: 0, count: -bytes.count & 3)
        }
        return result
    }

    /// Numbers are in network order where nothing else is said.
    private static func bytes(of text: String, type: String) -> [UInt8]? {
        switch type {
        case "ipv4_addr": return IPv4Address(text)?.bytes
        case "ipv6_addr": return IPv6Address(text)?.bytes
        case "ether_addr": return MACAddress(text)?.bytes
        case "inet_service": return UInt16(text).map { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
        // A mark is a number of the host's own order.
        case "mark":
            guard text.hasPrefix("0x"), let mark = UInt32(text.dropFirst(2), radix: 16) else { return nil }
            return withUnsafeBytes(of: mark, Array.init)
        case "inet_proto": return ["tcp": [UInt8(IPPROTO_TCP)], "udp": [UInt8(IPPROTO_UDP)]][text]
        case "ifname":
            guard text.utf8.count > 2, text.first == "\"", text.last == "\"" else { return nil }
            let name = text.utf8.dropFirst().dropLast()
            // A star would be a prefix; a backslash would escape.
            guard name.count < Int(IFNAMSIZ), !name.contains(where: { $0 == 0x2a || $0 == 0x5c || $0 == 0x22 }) else {
                return nil
            }
            return name + [UInt8](repeating: 0, count: Int(IFNAMSIZ) - name.count)
        default: return nil
        }
    }

    /// Appends it to a list of elements; for a deletion the key is enough.
    func put(into list: inout NetlinkMessage, keyOnly: Bool) {
        list.nest(Int(NFTA_LIST_ELEM.rawValue)) { element in
            element.nest(Int(NFTA_SET_ELEM_KEY.rawValue)) { $0.attribute(Int(NFTA_DATA_VALUE.rawValue), key) }
            guard !keyOnly, let value else { return }
            element.nest(Int(NFTA_SET_ELEM_DATA.rawValue)) { data in
                switch value {
                case .data(let bytes): data.attribute(Int(NFTA_DATA_VALUE.rawValue), bytes)
                case .verdict(let code, let chain):
                    data.nest(Int(NFTA_DATA_VERDICT.rawValue)) {
                        $0.attribute(Int(NFTA_VERDICT_CODE.rawValue), code.bigEndian)
                        $0.attribute(Int(NFTA_VERDICT_CHAIN.rawValue), text: chain)
                    }
                }
            }
        }
    }
}

extension ElementChange {
    /// The change as messages to the kernel; nil when one of its elements is only understood by nft.
    var transaction: NftablesTransaction? {
        var transaction = NftablesTransaction(.inet, table: table)
        for (set, gone, _) in changes {
            guard Self.put(gone, set, NFT_MSG_DELSETELEM, 0, "take elements out of \(set.name)", &transaction)
            else { return nil }
        }
        for (set, _, new) in changes {
            guard Self.put(new, set, NFT_MSG_NEWSETELEM, NLM_F_CREATE, "put elements into \(set.name)", &transaction)
            else { return nil }
        }
        return transaction
    }

    private static func put(
        _ elements: [String], _ set: NamedSet, _ type: nf_tables_msg_types, _ flags: Int32, _ action: String,
        _ transaction: inout NftablesTransaction
    ) -> Bool {
        var encoded: [ElementBytes] = []
        for element in elements {
            guard let bytes = ElementBytes(element, of: set) else { return false }
            encoded.append(bytes)
        }
        // The length of an attribute has 16 bits; an element takes some 100 bytes.
        for start in stride(from: 0, to: encoded.count, by: 256) {
            let part = encoded[start..<min(start + 256, encoded.count)]
            transaction.append(type, flags, action) { message in
                message.attribute(Int(NFTA_SET_ELEM_LIST_SET.rawValue), text: set.name)
                message.nest(Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)) { list in
                    for element in part { element.put(into: &list, keyOnly: type == NFT_MSG_DELSETELEM) }
                }
            }
        }
        return true
    }
}
