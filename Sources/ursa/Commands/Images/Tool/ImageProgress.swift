import CLinux
import Glibc
import UrsaBase

/// `-p`: the progress of a verb on standard output as `qemu-img` writes it, and on SIGUSR1 without `-p`.
final class ImageProgress: Sendable {
    private struct State: Sendable {
        var share = 0.0
        var told: Double?
    }
    private let state = Locked(State())
    private let isShown: Bool
    private let activity: String

    /// Progress of one piece of work, shown when `-p` is given and `-q` is not.
    init(_ activity: String, _ words: ImageWords) {
        self.activity = activity
        isShown = words.has("p") && !words.has("q") && !Screen.isJSON
        if isShown { tell() } else { listen() }
    }

    /// Takes reports.
    var handler: ProgressHandler {
        { [self] progress in
            guard let done = progress.done, let total = progress.total, total > 0 else { return }
            let share = min(100, Double(done) * 100 / Double(total))
            let isDue = state.withLock { state -> Bool in
                state.share = max(state.share, share)
                // As often as qemu-img: each whole percent and a bit, and the end.
                guard isShown, state.share - (state.told ?? -100) >= 1 || state.share == 100, state.told != state.share
                else { return false }
                state.told = state.share
                return true
            }
            if isDue { tell() }
        }
    }

    /// Ends the line.
    func finish() {
        guard isShown else { return }
        state.withLock { $0.share = 100 }
        tell()
        Screen.write("\n")
    }

    private func tell() {
        let share = state.withLock { $0.share }
        Screen.write("    (\(ImageText.twoDecimals(share))/100%)\r")
    }

    private static let signal = Locked<Int32>(-1)

    /// Makes SIGUSR1 a question. It would end the program otherwise, and scripts send it to `qemu-img`. To be called before
    /// there are other threads.
    static func expectSignal() {
        let descriptor = clinux_signalfd([SIGUSR1], 1)
        signal.withLock { $0 = descriptor }
    }

    /// Without `-p`, each SIGUSR1 is answered.
    private func listen() {
        let descriptor = ImageProgress.signal.withLock { $0 }
        guard descriptor >= 0 else { return }
        _ = try? OSThread { [self] in
            while true {
                var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, -1) > 0 else { continue }
                var information = [UInt8](repeating: 0, count: 128)
                _ = read(descriptor, &information, information.count)
                let share = state.withLock { $0.share }
                Screen.line("    (\(ImageText.twoDecimals(share))/100%)")
            }
        }
    }
}
