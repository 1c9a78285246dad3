import UrsaBase

/// The little of DNS (RFC 1035) that it takes to ask for one IPv4 address. What comes back is read as a stranger's:
/// every length is checked and compression pointers can't loop.
enum DNSMessage {
    /// A query for the A records of a name, or nil when the name can't be written (a label of more than 63 bytes).
    static func query(_ name: String, id: UInt16) -> [UInt8]? {
        // Header: id, flags (recursion desired), 1 question, no other records.
        var bytes: [UInt8] = [UInt8(id >> 8), UInt8(id & 0xff), 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]
        for label in name.split(separator: ".") {
            guard (1...63).contains(label.utf8.count) else { return nil }
            bytes.append(UInt8(label.utf8.count))
            bytes += label.utf8
        }
        guard bytes.count > 12, bytes.count < 12 + 254 else { return nil }
        return bytes + [0, 0, 1, 0, 1]  // root, type A, class IN
    }

    /// The first A record of an answer to that query; nil when it is none, or says that there is no such name.
    static func answer(_ bytes: [UInt8], id: UInt16) -> IPv4Address? {
        func word(_ at: Int) -> Int? {
            at >= 0 && at + 2 <= bytes.count ? Int(bytes[at]) << 8 | Int(bytes[at + 1]) : nil
        }
        // Flags: answer (bit 15), code (bits 0–3) 0.
        guard word(0) == Int(id), let flags = word(2), flags & 0x8000 != 0, flags & 0xf == 0, word(4) == 1,
            let count = word(6), count <= 64, var place = skipName(bytes, 12)
        else { return nil }
        place += 4
        for _ in 0..<count {
            // Name, type, class, u32 time to live, length, data.
            guard let start = skipName(bytes, place), let type = word(start), let kind = word(start + 2),
                let length = word(start + 8), start + 10 + length <= bytes.count
            else { return nil }
            if type == 1, kind == 1, length == 4 {
                return IPv4Address(bytes[(start + 10)..<(start + 14)].reduce(0) { $0 << 8 | UInt32($1) })
            }
            place = start + 10 + length
        }
        return nil
    }

    /// The place after a name: labels up to an empty one, or up to a compression pointer (which ends a name, so there
    /// is no need to follow it).
    private static func skipName(_ bytes: [UInt8], _ start: Int) -> Int? {
        var place = start
        while place < bytes.count {
            let length = Int(bytes[place])
            switch length {
            case 0: return place + 1
            case 1...63: place += 1 + length
            case 0xc0...0xff: return place + 2 <= bytes.count ? place + 2 : nil
            default: return nil
            }
        }
        return nil
    }
}
