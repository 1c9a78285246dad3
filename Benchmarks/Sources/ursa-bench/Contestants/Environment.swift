import Glibc

/// The environment this process was started with.
enum Environment {
    /// All variables as `NAME=value`.
    static var all: [String] {
        var result: [String] = []
        var pointer = environ
        while let entry = pointer.pointee {
            result.append(String(cString: entry))
            pointer = pointer.advanced(by: 1)
        }
        return result
    }

    static func value(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}
