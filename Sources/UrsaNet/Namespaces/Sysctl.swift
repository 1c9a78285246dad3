import Glibc
import UrsaBase

/// Kernel settings below /proc/sys/net: they are those of the calling thread's network namespace.
enum Sysctl {
    private static func path(_ name: String) -> String { "/proc/sys/net/" + name }

    /// The value, or nil when this kernel has no such setting.
    static func read(_ name: String) -> String? { File.peek(path(name)) }

    /// Sets a value unless it is set already.
    static func set(_ name: String, _ value: String) throws(UrsaError) {
        guard read(name) != value else { return }
        do { try File.write(path(name), text: value) } catch {
            throw UrsaError(
                error.code, "can't set net/\(name) to \(value): \(error.message)", place: path(name),
                remedy: error.code == .permission ? "run as root" : nil)
        }
    }

    /// Sets a value where this kernel has the setting.
    static func setIfPresent(_ name: String, _ value: String) throws(UrsaError) {
        if File.exists(path(name)) { try set(name, value) }
    }
}
