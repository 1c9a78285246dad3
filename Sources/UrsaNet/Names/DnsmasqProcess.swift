import CLinux
import Glibc
import UrsaBase

/// The dnsmasq of one network: its files in the run folder, and its process.
struct DnsmasqProcess: Sendable {
    /// The network's run folder.
    let folder: String

    private var main: String { folder + "/dnsmasq.conf" }
    private var argument: String { "--conf-file=\(main)" }

    /// The main file as it is, or nil.
    var configuration: String? { try? File.readText(main) }
    /// What a folder of machine files holds.
    func files(_ name: String) -> [String: String] {
        var result: [String: String] = [:]
        for file in File.list("\(folder)/\(name)") { result[file] = try? File.readText("\(folder)/\(name)/\(file)") }
        return result
    }

    /// The running process. dnsmasq itself writes the pid file before it reports that it is ready, so there is no
    /// moment at which it runs unrecorded; the pid counts only if that process has our configuration on its command
    /// line, so a reused pid is never mistaken for it.
    var identity: ProcessIdentity? {
        guard let text = File.peek(folder + "/pid"), let pid = Int32(text), let found = ProcessIdentity(running: pid),
            let line = try? File.read("/proc/\(pid)/cmdline", limit: 65536)
        else { return nil }
        let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        return words.contains(argument) && found.isAlive ? found : nil
    }

    /// Writes the files and starts dnsmasq in the namespace (nil: the caller's own), after ending one that runs. Returns when it serves: it
    /// goes to the background only after all its sockets are bound, and exits with its reason when it can't.
    func start(_ configuration: DnsmasqConfiguration, namespace: NetworkNamespace?) throws(UrsaError) {
        try stop()
        try File.makeDirectory(folder)
        try writeMachines(configuration.machines)
        try RunFile.replace(main, text: configuration.main)
        try File.remove(folder + "/log")
        var program = Program("dnsmasq", [argument])
        var place: SharedFD?
        if let namespace {
            guard let fd = try namespace.open() else {
                throw UrsaError(.notFound, "there is no network namespace \(namespace.name)")
            }
            place = SharedFD(fd)
            program.networkNamespace = place?.raw
        }
        defer { withExtendedLifetime(place) {} }
        program.newSession = true
        // Guests can make it log as much as they like: its file ends here.
        program.fileSizeLimit = 8 << 20
        let result = try program.run(seconds: 20)
        guard result.end.isSuccess else {
            throw UrsaError(
                .io,
                "dnsmasq does not start: \(result.errors.trimmed.isEmpty ? "\(result.end)" : result.errors.trimmed)",
                place: main)
        }
    }

    /// Brings the machine files to what the configuration says; a running dnsmasq sees new and changed ones by itself,
    /// for removed ones it is told to read all again.
    func updateMachines(_ machines: DnsmasqConfiguration.Machines) throws(UrsaError) {
        if try writeMachines(machines) { identity?.signal(SIGHUP) }
    }

    @discardableResult
    private func writeMachines(_ machines: DnsmasqConfiguration.Machines) throws(UrsaError) -> Bool {
        var removed = false
        for (name, wanted) in [("leases", machines.leases), ("names", machines.names)] {
            let there = files(name)
            try File.makeDirectory("\(folder)/\(name)")
            for (file, text) in wanted.sorted(by: { $0.key < $1.key }) where there[file] != text {
                // A changed file is read again, but what its old content said stays: full reading needed.
                if there[file] != nil { removed = true }
                // Written beside and moved in: the watcher must not see it half done, nor a temporary file.
                try RunFile.replace("\(folder)/\(name)/\(file)", text: text, beside: "\(folder)/\(name)-\(file).part")
            }
            for file in there.keys where wanted[file] == nil {
                try File.remove("\(folder)/\(name)/\(file)")
                removed = true
            }
        }
        return removed
    }

    /// Ends it and waits for the end; one that does not run is fine.
    func stop() throws(UrsaError) {
        guard let identity else { return }
        // It holds nothing that an orderly end would save.
        identity.signal(SIGKILL)
        guard identity.waitForEnd(until: .after(seconds: 10)) else {
            throw UrsaError(.timeout, "dnsmasq (pid \(identity.pid)) does not end")
        }
    }

    /// Removes the run folder.
    func removeFiles() throws(UrsaError) { try File.removeTree(folder) }

    /// Whether the log shows a request of this card and an answer to it.
    func dhcpState(_ mac: MACAddress) -> (requestSeen: Bool, answerSent: Bool) {
        guard let bytes = try? File.read(folder + "/log", limit: 16 << 20) else { return (false, false) }
        return Self.dhcpState(log: String(decoding: bytes, as: UTF8.self), mac)
    }

    /// Reads log lines like `… DHCPDISCOVER(br0) 52:54:00:00:00:01` and `… DHCPACK(br0) 10.77.0.10 52:54:… web`.
    static func dhcpState(log: String, _ mac: MACAddress) -> (requestSeen: Bool, answerSent: Bool) {
        var request = false
        var answer = false
        // By scalars: to Swift, CR LF is one character, which is no line feed.
        for line in log.unicodeScalars.split(separator: "\n").map({ Substring($0) })
        where line.contains(mac.description) {
            if line.contains(" DHCPDISCOVER(") || line.contains(" DHCPREQUEST(") { request = true }
            if line.contains(" DHCPACK(") { answer = true }
        }
        return (request, answer)
    }
}
