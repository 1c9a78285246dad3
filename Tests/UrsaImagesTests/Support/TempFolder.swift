import Glibc
import UrsaBase

/// A folder of one test, deleted when the test is over.
final class TempFolder: Sendable {
    let path: String

    init() throws(UrsaError) {
        path = "/var/tmp/ursa-images-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try File.makeDirectory(path)
    }

    deinit { try? File.removeTree(path) }

    /// The path of a name in the folder.
    func callAsFunction(_ name: String) -> String { path + "/" + name }
}

/// Whether all programs are on this host.
func has(_ programs: String...) -> Bool { programs.allSatisfy { Path.program($0) != nil } }
