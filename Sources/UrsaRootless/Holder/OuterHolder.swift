import CLinux
import Glibc
import UrsaBase
import UrsaNet

/// The part of the holder that stays on the real host: it opens ports there and runs passt, on the inner part's demand,
/// and ends with it.
struct OuterHolder {
    let folder: String
    let report: Int32
    /// Descriptor numbers of the inner process.
    enum Inherited {
        static let control: Int32 = 3
        static let channel: Int32 = 4
        static let report: Int32 = 5
    }

    func run() throws(UrsaError) {
        guard let lock = try lockUnlessMade() else { return Report.ready(report) }
        try File.removeTree(folder + "/run")
        let control = try UnixSocket.listen(folder + "/" + Names.control)
        let pair = try UnixSocket.pair()
        var program = Program("/proc/self/exe", ["--inner", "--folder", folder, "--report", "\(Inherited.report)"])
        program.descriptors = [
            Inherited.control: control.raw, Inherited.channel: pair.other.raw, Inherited.report: report,
        ]
        program.directory = "/"
        program.diesWithParent = true
        let inner = try program.start()
        close(report)
        let channel = pair.one
        _ = consume pair.other
        serve(channel.raw)
        // Without its network and its doors nothing inside goes on usefully; the namespaces go with their processes.
        inner.signal(SIGKILL)
        _ = try? inner.wait()
        try? File.remove(folder + "/" + Names.holder)
        try? File.remove(folder + "/" + Names.control)
        withExtendedLifetime(lock) {}
    }

    /// The lock of the one who makes the private host; nil when another command was quicker, whose private host serves this one too.
    private func lockUnlessMade() throws(UrsaError) -> FileLock? {
        let deadline = Deadline.after(seconds: 15)
        while true {
            // Whoever has it makes a private host, or has ended one and goes.
            if let lock = try FileLock.attempt(folder + "/" + Names.lock) { return lock }
            if RootlessHost(folder: folder).holder != nil { return nil }
            guard !deadline.isPast else {
                throw UrsaError(.timeout, "another command makes the private host and does not end", place: folder)
            }
            pause(milliseconds: 5)
        }
    }

    /// Answers the inner part until it ends.
    private func serve(_ channel: Int32) {
        while let request = try? Line.read(channel, seconds: 1e8) {
            var answer: JSON
            var descriptors: [SharedFD] = []
            do throws(UrsaError) {
                switch request["do"]?.string {
                case "open":
                    guard let door = request["door"].flatMap(Door.init(json:)) else { throw UrsaError(.bug, "no door") }
                    descriptors = try Listening.open(door)
                case "passt":
                    var fd: Int32 = -1
                    guard clinux_receive_fds(channel, &fd, 1) == 1 else { throw UrsaError(.bug, "no descriptor") }
                    try startPasst(OwnedFD(fd), hasIPv6: request["ipv6"]?.bool ?? false)
                default: throw UrsaError(.bug, "an unknown request")
                }
                answer = .record(["count": .integer(Int64(descriptors.count))])
            } catch { answer = .record(["error": error.json]) }
            guard (try? sendAll(channel, answer.line, to: "the inner part", until: .after(seconds: 5))) != nil else {
                return
            }
            let raw = descriptors.map(\.raw)
            if !raw.isEmpty, clinux_send_fds(channel, raw, Int32(raw.count)) < 0 { return }
            reap()
        }
    }

    /// passt turns the frames of its socket into sockets of the user's own. It does so in a sandbox of its own making.
    private func startPasst(_ stream: consuming OwnedFD, hasIPv6: Bool) throws(UrsaError) {
        var program = Program("passt", Passt.arguments(fd: 3, hasIPv6: hasIPv6, log: folder + "/passt.log"))
        program.descriptors = [3: stream.raw]
        program.directory = "/"
        program.diesWithParent = true
        let child = try program.start()
        // Its end is seen at the other end of the stream; it is reaped on the way.
        _ = consume child
    }

    private func reap() {
        var status: Int32 = 0
        // The inner process is waited for by name; passt's are reaped here.
        while waitpid(0, &status, WNOHANG) > 0 {}
    }
}

/// How passt is called.
enum Passt {
    /// Arguments for a private host. Nothing of the real host's loopback can be reached through it (`--no-map-gw`), but
    /// its name server can.
    static func arguments(fd: Int32, hasIPv6: Bool, log: String) -> [String] {
        var arguments = [
            "--foreground", "--quiet", "--log-file", log, "--fd", "\(fd)", "--mtu", "\(UserStem.mtu)", "--no-map-gw",
            "--no-dhcp", "--no-dhcpv6", "--no-ra", "--tcp-ports", "none", "--udp-ports", "none",
            "--address", "\(UserStem.address)", "--netmask", "255.255.255.0", "--gateway", "\(UserStem.gateway)",
            "--dns-forward", "\(UserStem.nameServer)",
        ]
        if hasIPv6 { arguments += ["--address", "\(UserStem.address6)"] } else { arguments.append("--ipv4-only") }
        return arguments
    }
}
