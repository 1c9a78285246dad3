import UrsaBase
import UrsaQMP

/// The keeper's QMP connection to its engine, driven by the event loop.
final class Monitor {
    typealias Completion = (Result<JSON, UrsaError>) -> Void

    private let loop: EventLoop
    private let socket: SharedFD
    private var session: QMPSession
    private var completions: [Int64: Completion] = [:]
    private var output: ArraySlice<UInt8> = []
    private var timer: UInt64?
    /// Called with `.ready`, `.event` and `.lost`.
    private let handler: (QMPMessage) -> Void

    /// Drives a connected socket; the engine must greet within `seconds`.
    init(
        loop: EventLoop, socket: consuming OwnedFD, seconds: Double, handler: @escaping (QMPMessage) -> Void
    ) throws(UrsaError) {
        try socket.setNonBlocking()
        self.loop = loop
        self.socket = SharedFD(socket)
        self.handler = handler
        session = QMPSession(seconds: seconds)
        try loop.add(self.socket.raw, .read) { [weak self] interest in
            if interest.contains(.write) { self?.flush() }
            self?.receive(rounds: 2)
        }
        setTimer()
    }

    var isReady: Bool { session.isReady }

    /// Runs a command; `completion` is called once, at the latest after `seconds`.
    func command(
        _ name: String, _ arguments: JSON? = nil, seconds: Double = 5, completion: @escaping Completion = { _ in }
    ) {
        do throws(UrsaError) {
            completions[try session.command(name, arguments, seconds: seconds)] = completion
        } catch {
            completion(.failure(error))
            return
        }
        flush()
        setTimer()
    }

    /// Takes what the engine has sent so far and closes; waiting commands fail. The handler gets `.lost` at last.
    func close() {
        receive(rounds: 64)
        take(session.close())
    }

    private func receive(rounds: Int) {
        var buffer = [UInt8](repeating: 0, count: 16384)
        for _ in 0..<rounds where !session.isLost {
            switch receiveSome(socket.raw, into: &buffer) {
            case .bytes(let count): take(session.receive(buffer[..<count]))
            case .later:
                flush()
                return
            case .ended: take(session.close())
            }
        }
        flush()
    }

    private func flush() {
        guard !session.isLost else { return }
        if session.hasOutput { output = Array(output + session.takeOutput())[...] }
        while !output.isEmpty {
            guard case .bytes(let count) = sendSome(socket.raw, output) else { break }
            output = output.dropFirst(count)
        }
        // A broken connection is seen by the next read.
        loop.change(socket.raw, output.isEmpty ? .read : [.read, .write])
    }

    private func setTimer() {
        if let timer { loop.cancel(timer) }
        timer = nil
        guard let deadline = session.nextDeadline else { return }
        timer = loop.after(seconds: deadline.seconds(since: .now)) { [weak self] in
            guard let self else { return }
            self.timer = nil
            self.take(self.session.expire())
            self.setTimer()
        }
    }

    private func take(_ messages: [QMPMessage]) {
        for message in messages {
            switch message {
            case .reply(let id, let result): completions.removeValue(forKey: id)?(result)
            case .ready, .event: handler(message)
            case .lost:
                loop.remove(socket.raw)
                if let timer { loop.cancel(timer) }
                timer = nil
                handler(message)
            }
        }
    }
}
