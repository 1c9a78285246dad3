import Glibc
import UrsaBase

/// How far the wish to end the machine has come.
struct StopProgress {
    /// Whether somebody asked for the end.
    var isAsked = false
    /// What the end will be called.
    var request = EngineEnd.Request.powerButton
    /// Seconds the guest has after the power button.
    var seconds = 0
    /// When the guest's time is over.
    var deadline: Deadline?
    /// Whether the engine was made to end.
    var isForced = false
}

extension KeeperServer {
    /// Seconds between two presses of the power button: a guest that was still booting did not see the first.
    private static let pressInterval = 5.0
    /// Seconds the engine has to quit before it is killed.
    private static let quitSeconds = 5.0

    /// Power button, then quit, then SIGKILL. A second request can only shorten the guest's time.
    func askToStop(seconds: Int) {
        let deadline = Deadline.after(seconds: Double(seconds))
        if stop.isAsked, let current = stop.deadline, current <= deadline { return }
        let isFirst = !stop.isAsked
        stop.isAsked = true
        stop.seconds = seconds
        stop.deadline = deadline
        guard let run else {
            endWithoutEngine()
            return
        }
        if isFirst {
            events.write("stopping", seconds > 0 ? "by the power button, killed after \(seconds) s" : "killed")
        }
        status.state = .stopping
        record()
        // An engine that has not answered yet is asked when it does.
        if isFirst, seconds > 0, run.end.hasRun { pressPowerButton() }
        loop.after(seconds: Double(seconds)) { [weak self, weak run] in
            guard let self, let run, self.run === run, self.stop.deadline == deadline else { return }
            self.force(run)
        }
    }

    /// Presses the power button, and again every few seconds until the machine has ended.
    func pressPowerButton() {
        guard let run, !stop.isForced, stop.seconds > 0 else { return }
        // A paused guest can't see the button.
        run.command("cont")
        run.command("system_powerdown") { [weak self] result in
            if case .failure(let error) = result { self?.progress(error.message) }
        }
        loop.after(seconds: KeeperServer.pressInterval) { [weak self, weak run] in
            guard let self, let run, self.run === run else { return }
            self.pressPowerButton()
        }
    }

    /// Ends the machine at once.
    func kill() {
        stop.isAsked = true
        stop.isForced = true
        stop.request = .kill
        stop.deadline = .now
        guard let run else {
            endWithoutEngine()
            return
        }
        status.state = .stopping
        record()
        run.signal(SIGKILL)
    }

    private func force(_ run: EngineRun) {
        guard !stop.isForced else { return }
        stop.isForced = true
        stop.request = .impatient(seconds: stop.seconds)
        if stop.seconds > 0 { progress("no reaction for \(stop.seconds) s, ending it") }
        run.command("quit")
        loop.after(seconds: KeeperServer.quitSeconds) { [weak self, weak run] in
            guard let self, let run, self.run === run else { return }
            run.signal(SIGKILL)
        }
        // Without a monitor there is nobody to tell.
        if run.monitor?.isReady != true { run.signal(SIGKILL) }
    }

    /// The machine waits for its restart: it just does not come.
    private func endWithoutEngine() {
        if let restartTimer { loop.cancel(restartTimer) }
        restartTimer = nil
        if status.state == .restarting { status.reason = "stopped while it waited to be started again" }
        finish(nil)
    }
}
