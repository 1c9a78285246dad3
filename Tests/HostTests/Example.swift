import Glibc
import TestSupport
import Testing
import UrsaBase

/// An example on a private host of its own, with neighbours that live in namespaces named `w-…`, which Ursa has to
/// leave alone. On the usual LAN the host is 192.0.2.2 on `eth0`, and the router `w-router` 192.0.2.1.
final class Example {
    let host: PrivateHost
    let file: String
    private var neighbours: [String] = []

    init(_ name: String) throws {
        host = try PrivateHost()
        try SharedImages.lend(to: host.home)
        file = Path.parent(Path.parent(Path.parent(#filePath))) + "/examples/\(name)/ursa.yaml"
    }

    deinit {
        // Their programs have mount namespaces of their own, so the host does not find them when it goes.
        for name in neighbours {
            let pids = (try? host.run("ip", ["netns", "pids", name])) ?? ""
            for pid in pids.split(separator: "\n").compactMap({ Int32($0) }) {
                ProcessIdentity(running: pid)?.signal(SIGKILL)
            }
        }
    }

    /// Puts `interface` of the host on a cable with one or more neighbours, which serve a page that names them.
    func addLAN(_ interface: String, _ address: String, _ neighbours: [(name: String, address: String)]) throws {
        let cable = "c-" + interface
        try host.run("ip", ["netns", "add", "w-" + cable])
        try inside("w-" + cable, "ip", "link", "add", "sw", "type", "bridge")
        try inside("w-" + cable, "ip", "link", "set", "sw", "up")
        try host.run(
            "ip", ["link", "add", interface, "type", "veth", "peer", "name", "p0", "netns", "w-" + cable])
        try inside("w-" + cable, "ip", "link", "set", "p0", "master", "sw", "up")
        try host.run("ip", ["address", "add", address, "dev", interface])
        try host.run("ip", ["link", "set", interface, "up"])
        for (index, neighbour) in neighbours.enumerated() {
            let name = "w-" + neighbour.name
            try host.run("ip", ["netns", "add", name])
            self.neighbours.append(name)
            try inside(
                "w-" + cable, "ip", "link", "add", "p\(index + 1)", "type", "veth", "peer", "name", "eth0", "netns",
                name)
            try inside("w-" + cable, "ip", "link", "set", "p\(index + 1)", "master", "sw", "up")
            try inside(name, "ip", "address", "add", neighbour.address, "dev", "eth0")
            try inside(name, "ip", "link", "set", "lo", "up")
            try inside(name, "ip", "link", "set", "eth0", "up")
            try serve(name)
        }
    }

    /// The usual LAN.
    func addLAN() throws {
        try addLAN("eth0", "192.0.2.2/24", [("router", "192.0.2.1/24")])
        try host.run("ip", ["route", "add", "default", "via", "192.0.2.1"])
    }

    /// Serves a page on port 80 of a neighbour that says who it is and who asked.
    private func serve(_ name: String) throws {
        let folder = "\(host.folder)/www-\(name)"
        try File.makeDirectory(folder + "/cgi-bin")
        try File.replace(
            folder + "/cgi-bin/who",
            text: """
                #!/bin/busybox sh
                /bin/busybox printf 'Content-Type: text/plain\\r\\n\\r\\n'
                echo "\(name) saw $REMOTE_ADDR"

                """, mode: 0o755)
        try inside(name, "busybox", "httpd", "-p", "0.0.0.0:80", "-h", folder)
    }

    /// Runs a program at a neighbour's.
    @discardableResult
    func inside(_ name: String, _ words: String...) throws -> String {
        try host.run("ip", ["netns", "exec", name] + words)
    }

    func up() throws { try host.ursaOK("up", "-f", file, "--wait", "--timeout", "120", seconds: 180) }

    /// Takes the example down and looks for what it left.
    func down() throws {
        try host.ursaOK("down", "-f", file, "--rm", "--kill")
        let deadline = Deadline.after(seconds: 10)
        while try !left().isEmpty, !deadline.isPast { pause(milliseconds: 50) }
        #expect(try left() == [])
    }

    private func left() throws -> [String] {
        try host.present().filter { line in
            !line.contains(" eth0@") && !line.contains(" eth1@") && !line.contains("namespace w-")
                && !line.contains("busybox httpd") && !line.contains("dnsmasq --conf-file=/dev/null")
        }
    }

    /// What a machine's shell says to a command.
    func machine(_ name: String, _ command: String) throws -> String {
        try host.ursaOK(
            "console", name, "--no-replay", "--send", "\(command); echo it-is-''over\\n", "--until", "it-is-over",
            "--timeout", "60")
    }

    /// Whether a page can be fetched from the host or a neighbour, and what it says.
    func fetch(_ url: String, from name: String? = nil) throws -> String? {
        let words = ["curl", "-sS", "-g", "--max-time", "3", url]
        let result =
            try name.map { try host.program("ip", ["netns", "exec", $0] + words).run(seconds: 20) }
            ?? host.program("curl", Array(words.dropFirst())).run(seconds: 20)
        return result.end.isSuccess ? result.text : nil
    }
}
