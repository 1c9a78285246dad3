import Glibc
import UrsaBase

/// Who asks, and with which rights.
struct Account: Sendable, Hashable {
    /// Effective user id.
    var uid: UInt32
    /// Supplementary group ids of this process.
    var groups: [UInt32]
    /// Login name, or the number.
    var name: String
    /// Effective capabilities, a bit each (capabilities(7)).
    var capabilities: UInt64

    /// CAP_NET_ADMIN: links, addresses, routes, firewall rules.
    var canAdministerNetwork: Bool { capabilities & 1 << 12 != 0 }
    /// CAP_SYS_ADMIN: mounts and namespaces.
    var canAdministerSystem: Bool { capabilities & 1 << 21 != 0 }
}

/// A line of /etc/group (group(5)).
struct GroupEntry: Sendable, Hashable {
    /// Its name.
    var name: String
    /// Its number.
    var gid: UInt32
    /// Members other than those who have it as their first group.
    var members: [String]
}

extension HostFacts {
    /// The calling process's account, from /proc/self/status and /etc/passwd.
    var account: Account {
        var account = Account(uid: geteuid(), groups: [], name: "", capabilities: 0)
        for line in lines("/proc/self/status") {
            let fields = line.split(whereSeparator: \.isWhitespace)
            switch fields.first {
            case "Uid:": if fields.count > 2, let uid = UInt32(fields[2]) { account.uid = uid }
            case "Groups:": account.groups = fields.dropFirst().compactMap { UInt32($0) }
            case "CapEff:": if fields.count > 1 { account.capabilities = UInt64(fields[1], radix: 16) ?? 0 }
            default: break
            }
        }
        account.name = userName(account.uid)
        return account
    }

    private func userName(_ uid: UInt32) -> String {
        for line in lines("/etc/passwd") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count > 2, UInt32(fields[2]) == uid { return String(fields[0]) }
        }
        return "\(uid)"
    }

    /// The group of that name, nil when /etc/group has none.
    func group(named name: String) -> GroupEntry? {
        for line in lines("/etc/group") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count > 3, fields[0] == name, let gid = UInt32(fields[2]) else { continue }
            return GroupEntry(name: name, gid: gid, members: fields[3].split(separator: ",").map(String.init))
        }
        return nil
    }
}
