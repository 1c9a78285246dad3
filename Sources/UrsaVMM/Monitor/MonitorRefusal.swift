import UrsaBase

/// Why a command was not carried out, as the protocol says it (QEMU, qapi/error.json, QapiErrorClass).
struct MonitorRefusal: Error {
    enum Kind: String { case generic = "GenericError", unknown = "CommandNotFound", inactive = "DeviceNotActive" }

    let kind: Kind
    let words: String

    init(_ kind: Kind, _ words: String) {
        self.kind = kind
        self.words = words
    }

    init(_ words: String) { self.init(.generic, words) }

    init(_ error: UrsaError) {
        self.init(error.code == .notFound ? .inactive : .generic, error.description)
    }

    var json: JSON { ["class": .string(kind.rawValue), "desc": .string(words)] }
}
