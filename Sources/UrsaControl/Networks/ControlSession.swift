import Glibc
import UrsaBase
import UrsaFirewall
import UrsaNet

/// The session over the network from which the command is given, when it is one: a change must not cut it.
struct ControlSession: Sendable, Hashable {
    /// Where the person is.
    var client: IPAddress
    /// The host's address that the session came to, and its port.
    var server: IPAddress
    var port: UInt16

    /// Reads `CLIENT PORT SERVER PORT`, as sshd(8) leaves it in SSH_CONNECTION.
    init?(_ text: String) {
        let words = text.split(separator: " ").map(String.init)
        guard words.count == 4, let client = IPAddress(words[0]), let server = IPAddress(words[2]),
            let port = UInt16(words[3])
        else { return nil }
        self.client = client
        self.server = server
        self.port = port
    }

    /// The caller's session. sudo(8) takes the variable away, so parents are asked too.
    static var current: ControlSession? {
        if let value = getenv("SSH_CONNECTION").map({ String(cString: $0) }) { return ControlSession(value) }
        var pid = getppid()
        for _ in 0..<16 where pid > 1 {
            let variables = (File.peek("/proc/\(pid)/environ") ?? "").split(separator: "\0")
            if let found = variables.first(where: { $0.hasPrefix("SSH_CONNECTION=") }) {
                return ControlSession(String(found.dropFirst(15)))
            }
            // Field 4 of stat is the parent; the name in field 2 may hold anything but ends with the last bracket.
            let fields = (File.peek("/proc/\(pid)/stat") ?? "").split(separator: ")").last?.split(separator: " ")
            guard let fields, fields.count > 1, let parent = Int32(fields[1]) else { return nil }
            pid = parent
        }
        return nil
    }

    /// What would become of a new session like this one under a wish.
    func decision(_ wish: HostWish, _ host: HostNetworks) -> Decision {
        wish.firewall.verdict(
            of: Connection(
                from: .init(host.place(of: client, wish), client), to: .init(.host, server), .tcp(port)),
            in: wish.topology)
    }
}
