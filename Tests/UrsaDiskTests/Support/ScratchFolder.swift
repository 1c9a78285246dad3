import Glibc
import UrsaBase

/// A folder of its own for a test, gone with this object, or left to be looked at with `URSA_KEEP=1`.
final class ScratchFolder: Sendable {
    let path: String

    init() throws(UrsaError) {
        var template = Array("/tmp/ursa-disk-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw UrsaError.system(.current, "make a temporary folder") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { if getenv("URSA_KEEP") == nil { try? File.removeTree(path) } }

    func callAsFunction(_ name: String) -> String { path + "/" + name }
}
