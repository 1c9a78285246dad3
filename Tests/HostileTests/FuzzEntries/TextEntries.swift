import UrsaBase
import UrsaQMP

extension Entry {
    /// What the keeper, the store and the engine's monitor read: JSON and lines.
    static let text: [Entry] = [
        Entry("JSON") { (bytes) throws(Violation) in
            guard let value = try accepted({ () throws(UrsaError) in try JSON.parse(bytes) }) else { return }
            for text in [value.text, value.pretty] {
                let again = try must("its own text does not parse") { () throws(UrsaError) in try JSON.parse(text) }
                try need(again == value, "it reads back as another value: \(text)")
                try need(again.text.utf8.elementsEqual(value.text.utf8), "it reads back with other bytes: \(text)")
            }
            // The longest growth is that of a number: `9e15` becomes `9000000000000000.0`.
            try need(value.text.utf8.count <= 8 * bytes.count + 16, "its text is much longer than the input")
            try need(!value.text.utf8.contains(10), "its text is more than one line")
        },

        Entry("Lines") { (bytes) throws(Violation) in
            guard let first = bytes.first else { return }
            let limit = Int(first & 15) + 1
            let stream = Array(bytes.dropFirst())
            var expected: [[UInt8]] = []
            var isTooLong = false
            var rest = stream[...]
            while let end = rest.firstIndex(of: 10), !isTooLong {
                let line = rest[rest.startIndex..<end]
                isTooLong = line.count > limit
                if !isTooLong { expected.append(Array(line.last == 13 ? line.dropLast() : line)) }
                rest = rest[(end + 1)...]
            }
            isTooLong = isTooLong || rest.count > limit
            var buffer = LineBuffer(limit: limit)
            var found: [[UInt8]] = []
            var failed = false
            for piece in pieces(stream, Int(first >> 4) + 1) where !failed {
                buffer.append(piece)
                do throws(UrsaError) { while let line = try buffer.next() { found.append(line) } } catch {
                    failed = true
                }
            }
            try need(found == expected, "lines \(found), not \(expected)")
            try need(failed == isTooLong, "a line over the limit was \(failed ? "" : "not ")refused")
            if !failed { try need(buffer.takeRest() == Array(rest), "the rest is another") }
        },

        Entry("QMP", limit: 4096) { (bytes) throws(Violation) in
            guard let first = bytes.first else { return }
            var stream = Array(bytes.dropFirst())
            // Most inputs need not guess the greeting.
            if first & 0x80 != 0 { stream = QMPPeer.opening + stream }
            let whole = try QMPPeer.listen(stream, inPiecesOf: stream.count)
            let cut = try QMPPeer.listen(stream, inPiecesOf: Int(first & 0x7f) + 1)
            try need(whole == cut, "what it says depends on how the bytes arrive: \(whole) and \(cut)")
        },
    ]
}

/// A session in which the input is the engine's side.
private enum QMPPeer {
    static let opening = Array(
        #"""
        {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""}, "capabilities": []}}
        {"return": {}, "id": 4}

        """#.utf8)

    /// What the session handed out, in order.
    static func listen(_ stream: [UInt8], inPiecesOf length: Int) throws(Violation) -> [String] {
        var session = QMPSession(seconds: 3600)
        var waiting: Set<Int64> = []
        for name in ["query-status", "stop", "human-monitor-command"] {
            let id = try must("a command was refused") { () throws(UrsaError) in
                try session.command(name, ["argument": "\u{1}é"], seconds: 3600)
            }
            waiting.insert(id)
        }
        var words: [String] = []
        var sent = 0
        func take(_ messages: [QMPMessage]) throws(Violation) {
            for (index, message) in messages.enumerated() {
                words.append("\(message)")
                switch message {
                case .reply(let id, _): try need(waiting.remove(id) != nil, "an answer to nothing: \(id)")
                case .lost: try need(index == messages.count - 1, "something follows the end")
                case .ready, .event: break
                }
            }
        }
        for piece in pieces(stream, length) {
            let wasLost = session.isLost
            let messages = session.receive(piece)
            try need(!wasLost || messages.isEmpty, "it hears after its end")
            try take(messages)
            sent += session.takeOutput().count
        }
        try need(session.expire().isEmpty, "a deadline of an hour passed")
        let wasLost = session.isLost
        let end = session.close()
        try need(wasLost == end.isEmpty, "the end is told not exactly once")
        try take(end)
        try need(waiting.isEmpty, "commands without an answer: \(waiting)")
        try need(sent <= 4096, "\(sent) bytes are sent for three commands")
        try need(session.nextDeadline == nil && !session.hasOutput, "a session goes on after its end")
        return words
    }
}
