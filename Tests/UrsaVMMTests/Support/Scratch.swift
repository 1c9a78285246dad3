import Glibc
import UrsaBase

/// A folder of a test's own, removed with the value.
final class Scratch: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/ursa-vmm-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw UrsaError.system(.current, "make a test folder") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? File.removeTree(path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }
}

/// Whether a program is installed.
func has(_ program: String) -> Bool { Path.program(program) != nil }
