import CLinux
import Glibc
import UrsaBase

/// The program `ursa-vmm`: one machine, from its start to its end.
public enum MonitorProgram {
    private static let usage = """
        usage: ursa-vmm [--exits] CONFIGURATION
               ursa-vmm --help

        Runs one virtual machine. CONFIGURATION is a JSON object; files, sockets and /dev/kvm are named in it by the numbers of
        descriptors that are open already. --exits tells at the end how often and for what the guest left its processors.

        """

    /// Bytes of each thread's stack. Of the usual 8 MiB the kernel would give every thread a huge page of 2 MiB, where it gives those
    /// without being asked; no thread here needs more than some pages.
    private static let stackSize: UInt64 = 512 << 10

    /// Runs it; returns the exit status: 0 when the machine was switched off, 1 when something failed, 2 for wrong usage.
    public static func run(_ arguments: [String]) -> Int32 {
        let begin = Deadline.now
        var arguments = arguments
        if arguments == ["--help"] {
            say(usage, to: 1)
            return 0
        }
        let isCounting = arguments.first == "--exits"
        if isCounting { arguments.removeFirst() }
        guard arguments.count == 1 else {
            say(usage, to: 2)
            return 2
        }
        clinux_ignore_sigpipe()
        // The sandbox would kill whoever looks for a fault's cause, and its keeper would hear of that instead of the fault.
        _ = clinux_default_faults()
        _ = clinux_set_stack_size(stackSize)
        // Before the first thread, which inherits the mask.
        let signals = clinux_signalfd([SIGTERM, SIGINT, SIGHUP], 3)
        do throws(UrsaError) {
            var configuration = try MachineConfiguration(try JSON.parse(arguments[0]))
            // First of all, so that it has nothing of the machine.
            if let folder = configuration.vsock?.folder {
                configuration.vsock?.broker = try VsockBroker.start(folder: OwnedFD(folder)).release()
            }
            let machine = try Machine(configuration, isCounting: isCounting)
            // Everything is open and known now; threads inherit this.
            _ = BriefPoll.isWorthwhile
            Sandbox.begin()
            let outcome = try machine.run(signals: signals >= 0 ? signals : nil)
            if isCounting {
                let microseconds = Int(machine.started.seconds(since: begin) * 1e6)
                let lines = ["the guest was entered \(microseconds) µs after the program began"] + machine.exitReport
                say(lines.joined(separator: "\n") + "\n", to: 2)
            }
            guard case .failed(let why) = outcome else { return 0 }
            say("ursa-vmm: \(why)\n", to: 2)
            return 1
        } catch {
            say("ursa-vmm: \(error)\n", to: 2)
            return error.code.exitStatus
        }
    }

    /// One line for the keeper's log, from any thread.
    static func log(_ line: String) { say("ursa-vmm: \(line)\n", to: 2) }

    private static func say(_ text: String, to fd: Int32) { try? writeAllBytes(fd, Array(text.utf8), "a message") }
}
