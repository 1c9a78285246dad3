import UrsaBase

/// A question to a name server (RFC 1035) and what the answer must hold. Answers are read as a stranger's: every length
/// is checked, and compression pointers are followed a few times only.
struct NameQuestion: Sendable, Hashable {
    enum Kind: UInt16, Sendable { case a = 1, aaaa = 28, ptr = 12 }
    var kind: Kind
    var name: String

    /// The question for the name of an address.
    static func reverse(_ address: IPAddress) -> NameQuestion {
        switch address {
        case .v4(let address):
            return NameQuestion(
                kind: .ptr, name: address.bytes.reversed().map(String.init).joined(separator: ".") + ".in-addr.arpa")
        case .v6(let address):
            let digits = address.bytes.reversed().flatMap { [$0 & 15, $0 >> 4] }.map { String($0, radix: 16) }
            return NameQuestion(kind: .ptr, name: digits.joined(separator: ".") + ".ip6.arpa")
        }
    }

    /// The message, nil when the name can't be written.
    func message(id: UInt16) -> [UInt8]? {
        guard var bytes = DNSMessage.query(name, id: id), bytes.count >= 4 else { return nil }
        // The type stands before the class, at the end.
        bytes[bytes.count - 4] = UInt8(kind.rawValue >> 8)
        bytes[bytes.count - 3] = UInt8(kind.rawValue & 0xff)
        return bytes
    }

    /// All answers of the asked kind as text; nil when it is no answer to this question, empty when there are none.
    func answers(_ bytes: [UInt8], id: UInt16) -> [String]? {
        func word(_ at: Int) -> Int? {
            at >= 0 && at + 2 <= bytes.count ? Int(bytes[at]) << 8 | Int(bytes[at + 1]) : nil
        }
        guard word(0) == Int(id), let flags = word(2), flags & 0x8000 != 0, word(4) == 1, let count = word(6),
            let (_, afterName) = Self.name(bytes, 12)
        else { return nil }
        if flags & 15 != 0 { return [] }
        var place = afterName + 4
        var result: [String] = []
        for _ in 0..<min(count, 64) {
            guard let (_, start) = Self.name(bytes, place), let type = word(start), let length = word(start + 8),
                start + 10 + length <= bytes.count
            else { return result }
            let data = bytes[(start + 10)..<(start + 10 + length)]
            if type == Int(kind.rawValue) {
                if kind == .ptr {
                    if let (text, _) = Self.name(bytes, start + 10) { result.append(text) }
                } else if let address = IPAddress(wire: data) {
                    result.append("\(address)")
                }
            }
            place = start + 10 + length
        }
        return result
    }

    /// A name and the place after it.
    private static func name(_ bytes: [UInt8], _ start: Int) -> (text: String, after: Int)? {
        var place = start
        var after: Int?
        var labels: [String] = []
        var steps = 0
        while place < bytes.count, steps < 80 {
            steps += 1
            let length = Int(bytes[place])
            switch length {
            case 0: return (labels.joined(separator: "."), after ?? place + 1)
            case 1...63:
                guard place + 1 + length <= bytes.count else { return nil }
                labels.append(String(decoding: bytes[(place + 1)..<(place + 1 + length)], as: UTF8.self))
                place += 1 + length
            case 0xc0...0xff:
                guard place + 2 <= bytes.count else { return nil }
                after = after ?? place + 2
                place = (length & 0x3f) << 8 | Int(bytes[place + 1])
            default: return nil
            }
        }
        return nil
    }

    /// Asks a server from the calling thread's namespace; nil when it does not answer.
    func ask(_ server: IPAddress, seconds: Double = 1) -> [String]? {
        let id = UInt16.random(in: 0...UInt16.max)
        guard let question = message(id: id) else { return nil }
        return Calls.ask(server, 53, question, seconds: seconds) { answers($0, id: id) }
    }
}
