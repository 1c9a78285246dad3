import Glibc
import UrsaBase

/// What the engine says on standard error: kept in a bounded log, its last lines at hand for the reason of an end.
final class EngineLog {
    private let loop: EventLoop
    private let log: ScrollbackLog
    private var pipe: SharedFD?
    private var last: [UInt8] = []

    init(loop: EventLoop, path: String, limit: Int, keep: Bool) {
        self.loop = loop
        log = ScrollbackLog(path, limit: limit, keep: keep)
    }

    /// Reads from the engine's standard error from now on.
    func attach(_ reader: consuming OwnedFD) throws(UrsaError) {
        detach()
        last = []
        try reader.setNonBlocking()
        let shared = SharedFD(reader)
        pipe = shared
        try loop.add(shared.raw, .read) { [weak self] _ in self?.receive(rounds: 1) }
    }

    /// Takes what is there and lets go.
    func detach() {
        receive(rounds: 64)
        if let pipe { loop.remove(pipe.raw) }
        pipe = nil
    }

    /// Adds a line of the keeper's own.
    func note(_ text: String) { log.append(Array("\(timestamp(wallClock())) keeper: \(text)\n".utf8)[...]) }

    /// The engine's last words since its start on one line, at most 400 bytes; nil when it said nothing of note.
    var lastWords: String? {
        let text = String(decoding: last, as: UTF8.self)
        // QEMU says "info: QEMU waiting for connection" about our own console socket: no reason for anything.
        let lines = text.split(whereSeparator: \.isNewline).filter { !$0.contains(": info: ") }
        let words = lines.suffix(3).map { $0.trimmed }.filter { !$0.isEmpty }.joined(separator: "; ")
        guard !words.isEmpty else { return nil }
        // Only what a terminal shows safely: the engine's words may carry a guest's.
        return String(
            String.UnicodeScalarView(words.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? "?" : $0 }))
    }

    private func receive(rounds: Int) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        for _ in 0..<rounds {
            guard let pipe else { return }
            switch receiveSome(pipe.raw, into: &buffer) {
            case .bytes(let count):
                log.append(buffer[..<count])
                last.append(contentsOf: buffer[..<count])
                if last.count > 400 { last.removeFirst(last.count - 400) }
            case .later: return
            case .ended:
                loop.remove(pipe.raw)
                self.pipe = nil
            }
        }
    }
}
