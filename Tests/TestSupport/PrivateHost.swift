import Glibc
public import UrsaBase

/// A host of a test's own: a network and a mount namespace in which `ursa` may do everything that it does on a real
/// host, with nothing of the machine's own network touched and nothing left when the value goes away.
///
/// A process that sleeps holds the namespaces; commands enter them by nsenter(1). Needs root.
public final class PrivateHost: Sendable {
    /// Folder for this host's files; removed with it.
    public let folder: String
    /// URSA_HOME inside.
    public let home: String
    private let holder: ProcessIdentity
    /// The neighbour beyond the uplink, where there is one.
    private let neighbour = Locked<Int32?>(nil)

    /// Makes the namespaces: loopback up, an empty /run/netns, a /run/ursa and an /etc of its own.
    public init(_ name: String = #function) throws {
        var template = Array("/tmp/ursa-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw UrsaError.system(.current, "make a test folder") }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        chmod(folder, 0o755)
        home = folder + "/home"
        let child = try Program("unshare", ["--net", "--mount", "--propagation", "private", "sleep", "3600"]).start()
        guard let identity = ProcessIdentity(running: child.pid) else {
            throw UrsaError(.io, "the holder of a private host died")
        }
        holder = identity
        // The namespaces are there once the holder is no longer in ours.
        let ours = try link("/proc/self/ns/net")
        let deadline = Deadline.after(seconds: 10)
        while (try? link("/proc/\(child.pid)/ns/net")) == ours || File.peek("/proc/\(child.pid)/comm") != "sleep" {
            guard !deadline.isPast else { throw UrsaError(.timeout, "no private namespaces") }
            pause(milliseconds: 2)
        }
        try run("ip", ["link", "set", "lo", "up"])
        try File.makeDirectory("/run/netns")
        try run("mount", ["-t", "tmpfs", "tmpfs", "/run/netns"])
        try File.makeDirectory("/run/ursa")
        try run("mount", ["-t", "tmpfs", "tmpfs", "/run/ursa"])
        // A copy of all of /etc: a mount on /etc/hosts alone is gone, in every namespace, as soon as anybody outside
        // renames something onto the file below it, and temporary files beside it would lie in the real folder.
        try run("cp", ["-a", "/etc", folder + "/etc"])
        for name in File.list(folder + "/etc") where name.hasPrefix("hosts.new-") {
            try File.remove("\(folder)/etc/\(name)")
        }
        try File.replace(folder + "/etc/hosts", text: "127.0.0.1 localhost\n", mode: 0o644)
        try run("mount", ["--bind", folder + "/etc", "/etc"])
        // Some tools look the network up in /sys, which must show this namespace.
        _ = try? run("mount", ["-t", "sysfs", "sysfs", "/sys"])
    }

    deinit {
        // Whatever a failed test left running in here ends with it.
        for pid in processes() { ProcessIdentity(running: pid)?.signal(SIGKILL) }
        if let pid = neighbour.withLock({ $0 }) {
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
        holder.signal(SIGKILL)
        var status: Int32 = 0
        waitpid(holder.pid, &status, 0)
        try? File.removeTree(folder)
    }

    private func link(_ path: String) throws -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        let count = readlink(path, &buffer, buffer.count)
        guard count > 0 else { throw UrsaError.system(.current, "read \(path)") }
        return String(decoding: buffer[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Processes that live in this host's mount namespace, the holder excepted.
    public func processes() -> [Int32] {
        guard let ours = try? link("/proc/\(holder.pid)/ns/mnt") else { return [] }
        return File.list("/proc").compactMap { Int32($0) }.filter { pid in
            pid != holder.pid && pid != neighbour.withLock({ $0 }) && (try? link("/proc/\(pid)/ns/mnt")) == ours
                && ProcessIdentity(running: pid) != nil
        }
    }

    /// Address of a neighbour beyond the host's only uplink, which answers HTTP with `outside-says-hello`.
    public static let outside = "192.0.2.1"
    /// The host's own address towards it.
    public static let outsideHost = "192.0.2.2"

    /// Gives the host an uplink `eth0` with a default route to a neighbour that lives in a namespace of its own.
    public func addOutside() throws {
        let process = try Program(
            "nsenter",
            [
                "-t", String(holder.pid), "-m", "-n", "--", "unshare", "--net", "python3", "-c",
                """
                import http.server, socket, subprocess, time
                class Hello(http.server.BaseHTTPRequestHandler):
                    def do_GET(self):
                        self.send_response(200); self.end_headers(); self.wfile.write(b"outside-says-hello\\n")
                    def log_message(self, *words): pass
                while subprocess.run(["ip", "address", "add", "192.0.2.1/24", "dev", "eth0"], capture_output=True).returncode: time.sleep(0.01)
                subprocess.run(["ip", "link", "set", "eth0", "up"]); subprocess.run(["ip", "link", "set", "lo", "up"])
                http.server.ThreadingHTTPServer(("192.0.2.1", 80), Hello).serve_forever()
                """,
            ]
        ).start()
        neighbour.withLock { $0 = process.pid }
        // The neighbour is at home when it is neither where it was started, nor on the private host any more.
        let away = [try link("/proc/self/ns/net"), try link("/proc/\(holder.pid)/ns/net")]
        let deadline = Deadline.after(seconds: 10)
        while try away.contains(link("/proc/\(process.pid)/ns/net"))
            || ["nsenter", "unshare"].contains(File.peek("/proc/\(process.pid)/comm") ?? "")
        {
            guard !deadline.isPast else { throw UrsaError(.timeout, "no neighbour") }
            pause(milliseconds: 5)
        }
        try run(
            "ip",
            ["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", String(process.pid)])
        try run("ip", ["address", "add", Self.outsideHost + "/24", "dev", "eth0"])
        try run("ip", ["link", "set", "eth0", "up"])
        try run("ip", ["route", "add", "default", "via", Self.outside])
        let ready = Deadline.after(seconds: 10)
        while try !program("curl", ["-s", "--max-time", "2", "http://\(Self.outside)/"]).run(seconds: 5).end.isSuccess {
            guard !ready.isPast else { throw UrsaError(.timeout, "the neighbour does not answer") }
            pause(milliseconds: 20)
        }
    }

    /// A host that has the shared images, and a spec as `ursa.yaml` in its folder.
    public convenience init(spec: String) throws {
        try self.init()
        try SharedImages.lend(to: home)
        try File.replace(folder + "/ursa.yaml", text: spec)
    }

    /// A program that runs inside.
    public func program(_ path: String, _ arguments: [String], environment: [String] = []) -> Program {
        var variables = environment
        variables.append("URSA_HOME=\(home)")
        variables.append("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        variables.append("HOME=\(folder)")
        if let keeper = Products.keeper { variables.append("URSA_KEEPER=\(keeper)") }
        return Program(
            "nsenter", ["-t", String(holder.pid), "-n", "-m", "--", path] + arguments, environment: variables)
    }

    /// Runs a program inside and fails when it fails.
    @discardableResult
    public func run(_ path: String, _ arguments: [String], seconds: Double = 60) throws -> String {
        try program(path, arguments).require("run \(path) \(arguments.joined(separator: " "))", seconds: seconds)
    }

    /// Runs `ursa` inside and returns what it did, whatever that was.
    public func ursa(_ arguments: String..., input: String = "", seconds: Double = 120) throws -> Program.Output {
        try program(Products.ursa, arguments).run(input: Array(input.utf8), seconds: seconds)
    }

    /// Runs `ursa` inside; a failure is thrown with its words.
    @discardableResult
    public func ursaOK(_ arguments: String..., seconds: Double = 120) throws -> String {
        let result = try program(Products.ursa, arguments).run(seconds: seconds)
        guard result.end.isSuccess else {
            throw UrsaError(.io, "ursa \(arguments.joined(separator: " ")) \(result.end): \(result.errors.trimmed)")
        }
        return result.text
    }

    /// Name of the one network namespace that Ursa has made here.
    public func namespace() throws -> String {
        guard let name = File.list("/proc/\(holder.pid)/root/run/netns").first else {
            throw UrsaError(.notFound, "there is no network namespace on the private host")
        }
        return name
    }

    /// What Ursa has left on this host: links, namespaces, tables, processes, lines in the hosts file; empty when nothing.
    ///
    /// A keeper's last act, and the kernel's end of a namespace, may come a moment after the command has returned; what
    /// is still there after `patience` seconds has been left.
    public func leftovers(patience: Double = 5) throws -> [String] {
        let deadline = Deadline.after(seconds: patience)
        while true {
            let found = try present()
            if found.isEmpty || deadline.isPast { return found }
            pause(milliseconds: 50)
        }
    }

    /// What of Ursa is on this host right now.
    public func present() throws -> [String] {
        var result: [String] = []
        let links = try run("ip", ["-o", "link"]).split(separator: "\n").filter {
            !$0.contains(" lo:") && !$0.contains("LOOPBACK")
        }
        // A kernel may make tunnel devices in every new namespace.
        let foreign = [
            "tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip6tnl0", "ip_vti0", "ip6_vti0", "ip6gre0", "ifb0", "ifb1",
        ]
        let known = neighbour.withLock { $0 } == nil ? foreign : foreign + ["eth0"]
        result += links.map(String.init).filter { line in !known.contains { line.contains(" \($0)") } }
        result += File.list("/proc/\(holder.pid)/root/run/netns").map { "namespace \($0)" }
        result += try run("nft", ["list", "tables"]).split(separator: "\n").map(String.init).filter {
            $0.contains("ursa")
        }
        result += processes().map { pid in
            "process \(pid) \((File.peek("/proc/\(pid)/cmdline") ?? "").replacing("\0", with: " "))"
        }
        if (try? File.readText(folder + "/etc/hosts")) != "127.0.0.1 localhost\n" {
            result.append("lines in the hosts file")
        }
        result += File.list(folder + "/etc").filter { $0.hasPrefix("hosts.new-") }.map { "/etc/\($0)" }
        return result
    }
}

/// The programs under test: those that the build has put beside the tests, unless the environment names others.
public enum Products {
    /// Path of `ursa`.
    public static var ursa: String { named("URSA_BINARY", "ursa") ?? "ursa" }
    /// Path of `ursa-keeper`; the environment may name a release build.
    public static var keeper: String? { named("URSA_KEEPER", "ursa-keeper") }

    /// Path of `ursa-rootless`.
    public static var rootless: String? { named("URSA_ROOTLESS_HOLDER", "ursa-rootless") }

    /// Path of `ursa-vmm`; the environment may name a release build.
    public static var monitor: String? { named("URSA_VMM", "ursa-vmm") }

    private static func named(_ variable: String, _ name: String) -> String? {
        if let value = getenv(variable).map({ String(cString: $0) }), !value.isEmpty { return value }
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        var candidates: [String] = CommandLine.arguments.map { Path.parent(Path.absolute($0)) }
        if count > 0 {
            candidates.append(
                Path.parent(String(decoding: buffer[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)))
        }
        candidates.append(Path.parent(Path.parent(Path.parent(#filePath))) + "/.build/debug")
        return candidates.map { $0 + "/" + name }.first { access($0, X_OK) == 0 }
    }
}

/// What this machine lacks for a test, as conditions for `.enabled(if:)`.
public enum Can {
    /// Root: networks of the host need it.
    public static let root = geteuid() == 0
    /// QEMU is installed.
    public static let qemu = Path.program("qemu-system-x86_64") != nil
    /// All that a NAT network takes.
    public static let networks = root && Path.program("nft") != nil && Path.program("dnsmasq") != nil
    /// passt, the way out of an ordinary user's private host.
    public static let passt = Path.program("passt") != nil
    /// A guest on a network.
    public static let guests = networks && qemu
}
