import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa console`
struct Attach: Verb {
    static let configuration = CommandConfiguration(
        commandName: "console",
        abstract: "Attach to a machine's serial console.",
        discussion: """
            Shows everything since power-on, then goes on live; several people may watch and type. Input and output may \
            be pipes. With --send or --until the command works by itself, for scripts: sent text may hold \\n \\r \\t \
            \\e \\xNN; output is printed until the pattern matches (status 0) or the time is over (status 1). With \
            --send, only what comes afterwards is searched.

            Examples:
              ursa console web
              ursa console web --until 'login: $' --timeout 60
              ursa console web --send 'uname -r\\n' --until '[#$] $'
            """)

    @Argument(help: ArgumentHelp("Name of the machine.", valueName: "name"), completion: Completions.machines)
    var name: String
    @Flag(name: [.customShort("r"), .long], help: "Watch only.")
    var readOnly = false
    @Flag(name: .long, help: "Leave out what came before.")
    var noReplay = false
    @Option(
        name: .long,
        help: ArgumentHelp("Key that leaves the console: '^]', 'ctrl-a', a character, or 'none'.", valueName: "key"))
    var detachKey = DetachKey.standard
    @Option(name: .long, help: ArgumentHelp("Send this text.", valueName: "text"))
    var send: String?
    @Option(name: .long, help: ArgumentHelp("Print output until this regular expression matches.", valueName: "regex"))
    var until: String?
    @Option(
        name: .long,
        help: ArgumentHelp("Leave after this time; 120 when --until says nothing else.", valueName: "seconds"))
    var timeout: TimeSpan?

    func perform() throws(UrsaError) {
        guard !readOnly || send == nil else {
            throw UrsaError(
                .usage, "nothing can be sent to a console that is read-only", place: "--send",
                remedy: "leave --read-only out")
        }
        guard send != nil || until != nil else {
            let ursa = try openUrsa()
            let end = try Attachment.run(
                ursa, name: name, mode: readOnly ? .readOnly : .readWrite, replay: !noReplay, key: detachKey,
                seconds: timeout?.value)
            if case .ended = end { try Attach.tell(try Attachment.outcome(ursa, name: name)) }
            return
        }
        let script = try ConsoleScript(send: send, until: until)
        let socket = try openUrsa().console(
            name, mode: send == nil ? .readOnly : .readWrite, replay: send == nil && !noReplay)
        try script.run(socket, name: name, seconds: timeout?.value)
    }

    /// Says how a machine has ended; a failure is one.
    static func tell(_ view: MachineView) throws(UrsaError) {
        let reason = view.reason ?? view.state.rawValue
        if view.state == .failed {
            throw UrsaError(
                .io, "\(view.name) failed: \(reason)",
                remedy: "`ursa logs \(view.name)` and `ursa logs --engine \(view.name)` show more")
        }
        Screen.hint("ursa: \(view.name): \(printable(reason))")
    }
}
