import UrsaBase

@testable import UrsaVMM

extension Entry {
    /// The monitor of the native engine.
    static let monitor: [Entry] = [
        Entry("Monitor", limit: 4096) { (bytes) throws(Violation) in
            // However the bytes are cut, the answers are the same.
            let whole = try answers(pieces(bytes, bytes.count))
            for length in [1, 7] {
                try need(
                    try answers(pieces(bytes, length)) == whole, "pieces of \(length) bytes are answered otherwise")
            }
        }
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
