/// The system's own users and groups, as /etc/passwd and /etc/group have them.
///
/// The C library would ask its name services too, which a statically linked program can only load where the very same
/// library is installed. Users and groups of services and devices are always in these files. Source: passwd(5), group(5).
public enum Accounts {
    /// Whether there is a user of this name.
    public static func hasUser(_ name: String, in file: String = "/etc/passwd") -> Bool {
        fields(file).contains { $0.first == name[...] }
    }

    /// A group's name by its number; nil when it has none.
    public static func groupName(_ gid: UInt32, in file: String = "/etc/group") -> String? {
        fields(file).first { $0.count > 2 && UInt32($0[2]) == gid }?.first.map(String.init)
    }

    private static func fields(_ file: String) -> [[Substring]] {
        guard let text = File.peek(file) else { return [] }
        return text.split(separator: "\n").map { $0.split(separator: ":", omittingEmptySubsequences: false) }
    }
}
