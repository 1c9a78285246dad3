import ArgumentParser
import Glibc
import UrsaBase
import UrsaControl
import UrsaImages
import UrsaModel

/// Names for the shell's Tab key. Silent whatever happens: a completion that fails offers nothing.
enum Completions {
    /// Names of machines.
    static var machines: CompletionKind { names { (ursa) throws(UrsaError) in try ursa.machines().map(\.name) } }
    /// Names of networks.
    static var networks: CompletionKind { names { (ursa) throws(UrsaError) in try ursa.networks().map(\.spec.name) } }
    /// Names of machines and networks.
    static var machinesAndNetworks: CompletionKind {
        names { (ursa) throws(UrsaError) in try ursa.machines().map(\.name) + ursa.networks().map(\.spec.name) }
    }
    /// Names of images.
    static var images: CompletionKind { names { (ursa) throws(UrsaError) in try ursa.images.list().map(\.name) } }

    private static func names(
        _ list: @escaping @Sendable (Ursa) throws(UrsaError) -> [String]
    ) -> CompletionKind {
        .custom { _, _, prefix in
            // Pressing Tab must not make a home.
            guard let home = try? Home.fromEnvironment(), File.isDirectory(home.folder),
                let ursa = try? Ursa(home: home), let names = try? list(ursa)
            else { return [] }
            return unique(names).filter { $0.hasPrefix(prefix) }.sorted()
        }
    }

    /// Answers a request of a completion script (`---completion COMMAND… -- ARGUMENT INDEX CURSOR WORD…`).
    ///
    /// - Returns: 0 always: whatever goes wrong, the shell shows nothing.
    static func answer(_ arguments: [String]) -> Int32 {
        guardTime()
        // The parser takes the cursor's place as it comes, and traps on a negative one.
        guard let start = arguments.firstIndex(of: "--"), arguments.count > start + 3,
            let index = Int(arguments[start + 2]), let cursor = Int(arguments[start + 3]), index >= 0, cursor >= 0
        else { return 0 }
        do {
            _ = try UrsaCommand.parseAsRoot(arguments)
        } catch {
            guard UrsaCommand.exitCode(for: error).isSuccess else { return 0 }
            Screen.line(UrsaCommand.fullMessage(for: error))
        }
        return 0
    }

    /// Ends the program with an empty answer before the person notices a store that is slow or locked.
    private static func guardTime() {
        _ = try? OSThread {
            pause(milliseconds: 45)
            _exit(0)
        }
    }
}
