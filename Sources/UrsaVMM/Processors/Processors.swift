import CLinux
import UrsaBase
import UrsaKVM

/// The machine's processors as one: they run, or all of them are parked outside of the guest.
final class Processors: @unchecked Sendable {
    // SAFETY: `parked` and `threads` are touched inside of `gate` only; `wanted` by atomic functions.

    private enum Wanted {
        static let run: UInt64 = 0, hold: UInt64 = 1, end: UInt64 = 2
    }

    let all: [Processor]
    private let gate = Monitor()
    private let wanted: UnsafeMutablePointer<UInt64>
    private var parked = 0
    private var threads: [OSThread] = []

    /// Processors that are held until `release`.
    init(_ processors: [Processor]) {
        all = processors
        wanted = .allocate(capacity: 1)
        wanted.initialize(to: Wanted.hold)
    }

    deinit { wanted.deallocate() }

    /// Starts the threads; they park at once.
    func start() throws(UrsaError) {
        try check(clinux_kvm_install_kick(), "install the signal handler for processors")
        for processor in all {
            let thread = try OSThread { [self] in serve(processor) }
            gate.inside { threads.append(thread) }
        }
        waitUntilHeld()
    }

    private func serve(_ processor: Processor) {
        processor.noteThread()
        _ = clinux_set_process_name("cpu\(processor.index)")
        Sandbox.enter(.processor)
        while true {
            processor.run(while: wanted)
            gate.enter()
            parked += 1
            gate.signal()
            while clinux_load64_acquire(wanted) == Wanted.hold { gate.wait() }
            parked -= 1
            let isEnd = clinux_load64_acquire(wanted) == Wanted.end
            gate.leave()
            if isEnd { return }
            processor.kernel.clearExitRequest()
        }
    }

    /// Asks all processors to leave the guest; does not wait. From any thread, also a processor's own.
    func hold() {
        gate.inside { if clinux_load64_relaxed(wanted) == Wanted.run { clinux_store64_release(wanted, Wanted.hold) } }
        for processor in all { processor.kick() }
    }

    /// Waits until all processors are parked. Not from a processor's thread.
    func waitUntilHeld() {
        gate.inside { while parked < threads.count { gate.wait() } }
    }

    /// Lets all processors run; waits until they have left their places, so that a `hold` afterwards waits for them anew.
    func release() {
        gate.inside {
            clinux_store64_release(wanted, Wanted.run)
            gate.signal()
        }
    }

    /// Ends and joins all threads; processors can't run again.
    func end() {
        gate.inside { clinux_store64_release(wanted, Wanted.end) }
        for processor in all { processor.kick() }
        gate.inside { gate.signal() }
        for thread in gate.inside({ threads }) { thread.join() }
        gate.inside { threads = [] }
    }
}
