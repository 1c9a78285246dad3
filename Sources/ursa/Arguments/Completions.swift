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
            return names.filter { $0.hasPrefix(prefix) }.sorted()
        }
    }

    /// Ends the program with an empty answer before the person notices a store that is slow or locked.
    static func guardTime() {
        _ = try? OSThread {
            pause(milliseconds: 45)
            _exit(0)
        }
    }
}
