import Glibc
import UrsaBase

/// Programs that look after an interface by themselves, and would go on doing so when it is a port of a bridge.
enum InterfaceManager {
    /// What to know before `interface` becomes a port of `bridge`, in whole sentences; empty when nobody looks after it.
    static func notices(_ interface: String, bridge: String) -> [String] {
        var result: [String] = []
        var own = stat()
        guard stat("/proc/thread-self/ns/net", &own) == 0 else { return [] }
        for process in File.list("/proc").compactMap({ Int32($0) }).sorted() {
            var its = stat()
            guard let name = File.peek("/proc/\(process)/comm"), let way = ways[name],
                stat("/proc/\(process)/ns/net", &its) == 0, its.st_ino == own.st_ino, its.st_dev == own.st_dev
            else { continue }
            let words = ((try? File.read("/proc/\(process)/cmdline", limit: 65536)) ?? []).split(separator: 0)
                .map { String(decoding: $0, as: UTF8.self) }
            guard way.isForAll || words.contains(interface) else { continue }
            let remedy = way.remedy.replacing("INTERFACE", with: interface).replacing("BRIDGE", with: bridge)
            result.append("\(name) (pid \(process)) may put addresses back on \(interface): \(remedy)")
        }
        return result
    }

    /// How each program is told, by its name. A DHCP client names its interfaces on its command line.
    private static let ways: [String: (isForAll: Bool, remedy: String)] = [
        "dhclient": (false, "end it and run `dhclient BRIDGE` instead, else the address ends with its lease"),
        "udhcpc": (false, "end it and run `udhcpc -i BRIDGE` instead, else the address ends with its lease"),
        "dhcpcd": (true, "`denyinterfaces INTERFACE` in /etc/dhcpcd.conf; it then looks after BRIDGE"),
        "NetworkManager": (true, "`nmcli device set INTERFACE managed no` makes it leave the interface alone"),
        "systemd-network": (
            true,
            "a file /etc/systemd/network/05-INTERFACE.network with `[Match] Name=INTERFACE` and "
                + "`[Link] Unmanaged=yes` makes systemd-networkd leave the interface alone"
        ),
    ]
}

extension HostNetworks {
    /// What a person should know before these wishes are made so: programs of the host that work against a bridge. Only
    /// about bridges that are not there yet.
    public func notices(_ wish: HostWish) -> [String] {
        let known = Set(BridgeJournal.all(home).map(\.network))
        return wish.bridges.filter { !known.contains($0.name) }.flatMap { bridge in
            bridge.interface.map { InterfaceManager.notices($0, bridge: home.bridgeName(bridge.name)) } ?? []
        }
    }
}
