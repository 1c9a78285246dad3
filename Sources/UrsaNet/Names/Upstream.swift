import Glibc
import UrsaBase

/// Where the host's own names come from.
enum Upstream {
    /// The file that names servers which a namespace can reach. A resolver on the host's loopback is not on that of the
    /// namespace; systemd-resolved and NetworkManager keep the real servers in files of their own.
    static func resolvFile() -> String {
        let main = "/etc/resolv.conf"
        let real = ["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"]
        let servers = servers(File.peek(main) ?? "")
        let onlyLoopback = !servers.isEmpty && servers.allSatisfy { $0.hasPrefix("127.") || $0 == "::1" }
        return onlyLoopback ? real.first { File.exists($0) } ?? main : main
    }

    static func servers(_ text: String) -> [String] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            return words.count >= 2 && words[0] == "nameserver" ? String(words[1]) : nil
        }
    }

    /// dnsmasq's own user where there is one and it can read the folder; else it stays root.
    static func user(reading folder: String) -> String? {
        // In a user namespace of one user (user_namespaces(7)) groups can't be changed.
        if File.peek("/proc/self/setgroups") == "deny" { return "" }
        var path = folder
        while path != "/", path != "." {
            if let status = File.status(path), status.st_mode & 0o001 == 0 { return nil }
            path = Path.parent(path)
        }
        return ["dnsmasq", "nobody"].first { Accounts.hasUser($0) }
    }
}
