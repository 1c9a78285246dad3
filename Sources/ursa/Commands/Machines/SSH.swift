import ArgumentParser
import Glibc
import UrsaBase
import UrsaControl

/// `ursa ssh`
struct SSH: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ssh",
        abstract: "Log in to a machine, or run a command in it.",
        discussion: """
            Ursa's own key is used, and the host key that the machine was made with is expected.

            Examples:
              ursa ssh web
              ursa ssh web -- journalctl -n 20
              ursa ssh web --user root -- sh -c 'echo "$HOSTNAME"'
            """)

    @Argument(help: ArgumentHelp("Name of the machine.", valueName: "name"), completion: Completions.machines)
    var name: String
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("User to log in as; left out: the one the image says.", valueName: "user"))
    var user: String?
    @Argument(
        parsing: .remaining,
        help: ArgumentHelp("Command to run; put it after -- when it has options.", valueName: "command"))
    var command: [String] = []

    func perform() throws(UrsaError) {
        // ssh would take such a user for an option of its own.
        if let user, user.hasPrefix("-") || user.isEmpty {
            throw UrsaError(.usage, "'\(user)' is no user name", place: "--user", remedy: "give a name such as root")
        }
        try replaceProcess(by: try openUrsa().ssh(name, user: user, command: command))
    }
}

/// Runs a program in place of this one, with this one's terminal. Comes back only by an error.
private func replaceProcess(by program: Program) throws(UrsaError) {
    guard let path = Path.program(program.path) else {
        throw UrsaError(.notFound, "there is no program \(program.path)", remedy: "apt install openssh-client")
    }
    guard !program.arguments.contains(where: { $0.utf8.contains(0) }) else {
        throw UrsaError(.usage, "an argument contains a NUL byte", place: "COMMAND")
    }
    let argv: [UnsafeMutablePointer<CChar>?] = ([program.path] + program.arguments).map { strdup($0) } + [nil]
    defer { for pointer in argv { free(pointer) } }
    Screen.clearProgress()
    Signals.restore()
    if let environment = program.environment {
        let envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        defer { for pointer in envp { free(pointer) } }
        execve(path, argv, envp)
    } else {
        execv(path, argv)
    }
    throw UrsaError.system(.current, "run \(path)")
}
