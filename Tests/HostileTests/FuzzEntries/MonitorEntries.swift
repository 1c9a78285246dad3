import UrsaBase

@testable import UrsaVMM

extension Entry {
    /// The monitor of the native engine.
    static let monitor: [Entry] = [
        Entry(
            "Monitor", limit: 4096,
            run: { (bytes) throws(Violation) in
                // However the bytes are cut, the answers are the same.
                let whole = try answers(pieces(bytes, bytes.count))
                for length in [1, 7] {
                    try need(
                        try answers(pieces(bytes, length)) == whole, "pieces of \(length) bytes are answered otherwise")
                }
            },
            walk: { (seed, steps) throws(Violation) in
                var script = Script(seed: seed, steps: steps)
                try MonitorWalk.run(&script)
            })
    ]

    private static func answers(_ pieces: [ArraySlice<UInt8>]) throws(Violation) -> [String] {
        var session = MonitorSession()
        let machine = StillMachine()
        var answers: [String] = []
        for piece in pieces {
            session.append(piece)
            while let answer = session.next(machine) {
                try need(
                    answer["return"] != nil || answer["error"]?["class"]?.string != nil, "no answer: \(answer.text)")
                answers.append(answer.text)
                try need(answers.count <= 4097, "more answers than bytes")
            }
        }
        return answers
    }
}

/// A machine that does nothing.
private final class StillMachine: MonitoredMachine {
    let name = "still"
    let uuid = "01234567-89ab-4def-8123-456789abcdef"
    let memory: UInt64 = 1 << 30
    var state = MachineState.running
    let processors: [MonitoredProcessor] = []
    let disks: [MonitoredDisk] = []
    var balloon: UInt64? = 1 << 30
    func stop() { state = .paused }
    func resume() { state = .running }
    func pressPowerButton() throws(UrsaError) { throw UrsaError(.conflict, "the machine is stopped") }
    func reset() {}
    func quit() { state = .shutdown }
    func setBalloon(_ bytes: UInt64) { balloon = bytes }
}

/// Requests one after the other, many of them as they should be.
private enum MonitorWalk {
    private static let names = ["qmp_capabilities", "no-such-command", ""] + MonitorCommand.allCases.map(\.rawValue)
    private static let values = [
        "1", "-1", "1048576", "9223372036854775807", "18446744073709551616", "1e400", "-0.5", "true", "null", "\"\"",
        "\"text\"", "[]", "{}", "[1,[2,[3]]]", "{\"value\":1}", "\"\\ud800\"", "\"\\u0000\"",
    ]

    static func run(_ script: inout Script) throws(Violation) {
        let machine = StillMachine()
        var session = MonitorSession()
        while script.step() {
            var text = request(&script)
            if script.byte() & 7 == 0, !text.isEmpty { text[Int(script.short()) % text.count] = script.byte() }
            if script.byte() & 31 == 0 { text.removeLast(Int(script.byte()) % (text.count + 1)) }
            text.append(UInt8(ascii: "\n"))
            let cut = Int(script.short()) % text.count
            for piece in [text[..<cut], text[cut...]] {
                session.append(piece)
                var answers = 0
                while let answer = session.next(machine) {
                    answers += 1
                    try need(answers <= text.count, "more answers than bytes")
                    try need(answer["return"] != nil || answer["error"]?["class"]?.string != nil, "no answer")
                    try need(answer.text.utf8.count <= 16384, "an answer of \(answer.text.utf8.count) bytes")
                }
            }
            // What follows a broken request may be the rest of it for ever: as a person does, the client comes again.
            if session.isBroken || script.byte() & 0x3f == 0 { session = MonitorSession() }
        }
        session = MonitorSession()
        session.append(Array(#"{"execute":"qmp_capabilities"}{"execute":"query-status"}"#.utf8))
        try need(session.next(machine)?["return"] != nil, "no end of the negotiation")
        try need(session.next(machine)?["return"]?["status"] != nil, "no status")
    }

    private static func request(_ script: inout Script) -> [UInt8] {
        let form = script.byte()
        if form & 0x1f == 0x1f { return (0..<Int(script.byte())).map { _ in script.byte() } }
        let depth = form & 0xf0 == 0xf0 ? Int(script.byte()) : 0
        var text = [UInt8](repeating: UInt8(ascii: "["), count: depth)
        text += Array(#"{"execute":"#.utf8)
        let name = names[Int(script.byte()) % names.count]
        text += Array((form & 0x60 == 0x60 ? value(&script) : "\"\(name)\"").utf8)
        if form & 1 == 1 {
            let key = script.byte() & 3 == 0 ? "other" : "value"
            text += Array(",\"arguments\":{\"\(key)\":\(value(&script))}".utf8)
        }
        if form & 2 == 2 { text += Array(",\"id\":\(value(&script))".utf8) }
        text.append(UInt8(ascii: "}"))
        return text + [UInt8](repeating: UInt8(ascii: "]"), count: depth)
    }

    private static func value(_ script: inout Script) -> String { values[Int(script.byte()) % values.count] }
}
