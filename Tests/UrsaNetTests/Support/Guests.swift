import Glibc
import UrsaBase

@testable import UrsaNet

extension PrivateHost {
    /// Asks for an address with busybox's DHCP client, as the `tiny` image does; sets address, routes and resolver of the
    /// guest's namespace. Returns what the server handed out, as `name=value` lines.
    func dhcp(_ guest: String) throws -> String {
        let script = "\(folder)/udhcpc"
        if !File.exists(script) {
            try File.replace(
                script,
                text: """
                    #!/bin/busybox sh
                    [ "$1" = bound ] || exit 0
                    /bin/busybox ip addr add $ip/$mask dev $interface
                    /bin/busybox ip route add default via $router
                    echo "ip=$ip"; echo "router=$router"; echo "dns=$dns"; echo "mtu=$mtu"; echo "domain=$domain"
                    echo "hostname=$hostname"

                    """, mode: 0o755)
        }
        return try sh("busybox udhcpc -i eth0 -n -q -f -t 8 -T 1 -O mtu -O search -s \(script)", in: guest)
    }

    /// Brings up web and db as guests of the lab network, by DHCP.
    func addLabGuests() throws {
        try addGuest("web", on: "lab", mac: "52:54:00:00:00:01")
        try addGuest("db", on: "lab", mac: "52:54:00:00:00:02")
        _ = try dhcp("web")
        _ = try dhcp("db")
        // The router's announcement may come seconds after the lease.
        for name in ["web", "db"] {
            guard try wait(for: "inet6 fd", "ip -6 addr show dev eth0 scope global -tentative", in: name) else {
                throw UrsaError(.timeout, "\(name) has no IPv6 address")
            }
        }
    }

    /// Serves a page on a port of a guest, with the client's address in it.
    func serve(_ namespace: String?, port: Int) throws -> Background {
        let name = namespace ?? "host"
        let page = "\(folder)/www-\(name)/cgi-bin"
        if !File.exists(page) {
            try File.makeDirectory(page)
            try File.replace(
                page + "/who",
                text: """
                    #!/bin/busybox sh
                    /bin/busybox printf 'Content-Type: text/plain\\r\\n\\r\\n'
                    echo "\(name) $REMOTE_ADDR"

                    """, mode: 0o755)
        }
        let server = try background("busybox httpd -f -p \(port) -h \(folder)/www-\(name)", in: namespace)
        let deadline = Deadline.after(seconds: 5)
        while try !sh("ss -tlnH", in: namespace).contains(":\(port) ") {
            if deadline.isPast { throw UrsaError(.timeout, "no server in \(name)") }
            pause(milliseconds: 5)
        }
        return server
    }

    /// Fetches a page; what the server said, or nil when there was no answer within a second.
    func fetch(_ url: String, in namespace: String? = nil) throws -> String? {
        let result = try attempt("curl -sS -g --max-time 2 http://\(url)/cgi-bin/who", in: namespace)
        return result.end.isSuccess ? result.text.trimmed : nil
    }
}
