import Glibc
import UrsaBase
import UrsaControl

/// Takes an ordinary user's commands into the user's private host, where machines and networks are.
enum PrivateHostEntry {
    /// Verbs that make something, and so need the private host where there is none yet.
    private static let makers: Set<String> = ["run", "up", "start"]
    private static let networkMakers: Set<String> = ["apply", "try"]
    /// Verbs that look at nothing inside.
    private static let outsiders: Set<String> = [
        "config", "schema", "image", "images", "doctor", "help", "completion", "kvm",
    ]

    /// Enters when that is of use; then the program starts again inside, so a return means that it stays outside.
    /// Nothing is parsed yet: a wrong command line gets its error inside or outside, the same.
    static func enter(_ arguments: [String]) -> UrsaError? {
        guard let verb = arguments.first, !verb.hasPrefix("-"), !outsiders.contains(verb),
            !arguments.prefix(while: { $0 != "--" }).contains(where: { $0 == "--help" || $0 == "-h" })
        else { return nil }
        let making =
            makers.contains(verb)
            || (["net", "firewall"].contains(verb) && arguments.dropFirst().first.map(networkMakers.contains) ?? false)
        do throws(UrsaError) {
            let home = try Home.fromEnvironment()
            guard let reason = try home.enterPrivateHost(making: making, arguments: CommandLine.arguments) else {
                return nil
            }
            Screen.note("no private host: \(reason.message)\(reason.remedy.map { "; \($0)" } ?? "")")
            return nil
        } catch { return error }
    }
}
