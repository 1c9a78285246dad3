import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaNet

/// `ursa net trace`
struct TracePacket: Verb {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "Say whether a packet gets from here to there, and which rule decides.",
        discussion: """
            FROM is a machine, `host`, `net` (somebody outside) or an address; TO the same with a port; without a port a \
            ping is traced. The plan is walked step by step. With --live (root) a packet of its own is sent, and what \
            the kernel's filters do with it is told, whoever made them. Exit status 0: it passes, 1: it does not.

            Examples:
              ursa net trace web db:5432
              ursa net trace web 1.1.1.1:53/udp --live
              ursa net trace net web:80
            """)

    @Argument(
        help: ArgumentHelp("FROM and TO, an arrow between them if you like.", valueName: "end"),
        completion: Completions.machines)
    var ends: [String]
    @Flag(name: .long, help: "Send a packet and tell what the kernel does with it.")
    var live = false
    @Flag(name: [.customShort("6"), .customLong("ipv6")], help: "By IPv6.")
    var ipv6 = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) { _ = try answer() }

    /// The way of the packet is the answer; the status says whether it arrives.
    mutating func run() throws {
        if try !answer().passes { throw ExitCode(1) }
    }

    private func answer() throws(UrsaError) -> TraceAnswer {
        let answer = try openUrsa().trace(try TraceQuery.parse(ends, isIPv6: ipv6), live: live)
        if output.json {
            Screen.json(answer.json)
            return answer
        }
        let colours = Terminal.hasColours
        show(answer.plan, live == false ? nil : "plan", colours)
        if let live = answer.live {
            show(live, "kernel", colours)
            if answer.disagrees {
                Screen.note(
                    "the kernel does not do what is planned: something that Ursa did not make decides, or `ursa settle` is needed"
                )
            }
        }
        return answer
    }

    private func show(_ trace: Trace, _ title: String?, _ colours: Bool) {
        if let title { Screen.line(Terminal.paint(title, .bold, when: colours)) }
        let width = trace.steps.map(\.place.count).max() ?? 0
        for step in trace.steps {
            let line = printable("\(step.decides ? "▶" : " ") \(step.place.padded(width))  \(step.words)")
            Screen.line(step.decides ? Terminal.paint(line, .bold, when: colours) : line)
        }
        let words: String =
            switch trace.outcome {
            case .passes: "it passes"
            case .dropped: "it is dropped: the sender hears nothing"
            case .rejected: "it is refused: the sender is told"
            case .unreachable: "there is no way"
            }
        Screen.line(Terminal.paint("= \(words)", trace.outcome == .passes ? .green : .red, when: colours))
    }
}
