import CLinux
import Glibc
import UrsaBase
import UrsaNet

/// The part of the holder that lives in the private host: it holds the namespaces, carries frames between ports and
/// engines and between the host's way out and passt, and serves the doors.
final class InnerHolder {
    private let folder: String
    private let control: OwnedFD
    private let channel: OwnedFD
    private let loop: EventLoop
    private let hasIPv6: Bool
    private var carriers: [String: FrameCarrier] = [:]
    private var doors: [Door: OpenDoor] = [:]
    /// The link's packet socket; passt's stream is connected to it as long as passt runs.
    private let wire: OwnedFD
    private var stream: FrameStream?
    private var passtTrouble: String?
    /// Seconds until passt is tried again, doubling.
    private var patience = 0.5
    /// The next try to end, while it is wanted.
    private var ending: UInt64?
    /// Had by a holder that ends, so that no command enters any more.
    private var lastUse: FileLock?

    private enum OpenDoor {
        case tcp(TCPDoor)
        case udp(UDPDoor)
        func close() {
            switch self {
            case .tcp(let door): door.close()
            case .udp(let door): door.close()
            }
        }
    }

    static func run(folder: String, report: Int32) throws(UrsaError) {
        // Looked at before entering: the real host's way out tells whether passt can speak IPv6.
        let hasIPv6 = realHostHasIPv6()
        let result = clinux_unshare_user_host()
        guard result >= 0 else {
            throw UrsaError(
                .unsupported, "this system lets no ordinary user make namespaces (\(Errno(-result)))",
                remedy:
                    "allow it (`sysctl user.max_user_namespaces`, and AppArmor's or the distribution's own switch), or use root"
            )
        }
        try PrivateFiles.mount(folder: folder)
        let wire = try UserStem.make(hasIPv6: hasIPv6)
        let holder = try InnerHolder(folder: folder, wire: wire, hasIPv6: hasIPv6)
        holder.startPasst()
        let own = ProcessIdentity.current
        try File.replace(
            folder + "/" + Names.holder,
            text: JSON.record(["pid": .integer(Int64(own.pid)), "startTime": .integer(Int64(own.startTime))]).text
                + "\n")
        Report.ready(report)
        try holder.loop.run()
    }

    private init(folder: String, wire: consuming OwnedFD, hasIPv6: Bool) throws(UrsaError) {
        self.folder = folder
        self.wire = wire
        self.hasIPv6 = hasIPv6
        control = OwnedFD(OuterHolder.Inherited.control)
        channel = OwnedFD(OuterHolder.Inherited.channel)
        loop = try EventLoop()
        for fd in [control.raw, channel.raw] { _ = fcntl(fd, F_SETFD, FD_CLOEXEC) }
        try loop.add(control.raw, .read) { [unowned self] _ in self.serve() }
        // The outer part says nothing by itself; readable means that it is gone.
        try loop.add(channel.raw, .read) { [unowned self] _ in self.loop.stop() }
    }

    /// Whether a default route of IPv6 is there: /proc/net/ipv6_route has destination, its length, source, …, flags, link.
    private static func realHostHasIPv6() -> Bool {
        (File.peek("/proc/net/ipv6_route") ?? "").split(separator: "\n").contains { line in
            let fields = line.split(separator: " ")
            return fields.count > 9 && fields[1] == "00" && fields[9] != "lo" && !fields[0].contains { $0 != "0" }
        }
    }

    // MARK: passt

    private func startPasst() {
        do throws(UrsaError) {
            let pair = try UnixSocket.pair()
            let end = pair.other.raw
            try outer(.record(["do": "passt", "ipv6": .bool(hasIPv6)]), descriptor: end)
            stream = try FrameStream(link: try wire.duplicate(), stream: pair.one, loop: loop) { [unowned self] in
                self.passtEnded()
            }
            passtTrouble = nil
            _ = consume pair.other
        } catch {
            passtTrouble = error.message
            again()
        }
    }

    private func passtEnded() {
        stream = nil
        let words = (try? File.readText(folder + "/passt.log"))?.split(separator: "\n").last.map(String.init)
        passtTrouble = "passt ended\(words.map { ": \($0)" } ?? "")"
        again()
    }

    private func again() {
        loop.after(seconds: patience) { [unowned self] in self.startPasst() }
        patience = min(patience * 2, 60)
    }

    // MARK: Requests

    private func serve() {
        let raw = accept(control.raw, nil, nil)
        guard raw >= 0 else { return }
        let client = OwnedFD(raw)
        _ = fcntl(raw, F_SETFD, FD_CLOEXEC)
        var user: UInt32 = .max
        guard clinux_peer_uid(raw, &user) == 0, user == 0 else { return }
        var answer: JSON
        do throws(UrsaError) { answer = try answerTo(Line.read(raw, seconds: 5), client.raw) } catch {
            answer = .record(["error": error.json])
        }
        try? sendAll(raw, answer.line, to: "a command", until: .after(seconds: 5))
    }

    private func answerTo(_ request: JSON, _ client: Int32) throws(UrsaError) -> JSON {
        switch request["do"]?.string {
        case "doors":
            stay()
            try setDoors(Set((request["doors"]?.array ?? []).compactMap(Door.init(json:))))
        case "carry":
            stay()
            guard let name = request["name"]?.string else { throw UrsaError(.bug, "a port without a name") }
            var fds: [Int32] = [-1, -1, -1]
            let count = clinux_receive_fds(client, &fds, 3)
            let owned = fds.map { SharedFD(OwnedFD($0)) }
            guard count == 3 else { throw UrsaError(.bug, "three descriptors belong to a port, not \(count)") }
            try carry(name, link: owned[0], engine: owned[1], namespace: owned[2])
        case "end": endWhenUnused()
        case "status":
            return .record([
                "passt": passtTrouble.map(JSON.string) ?? "runs",
                "doors": .array(doors.keys.map { .string($0.description) }),
            ])
        default: throw UrsaError(.bug, "an unknown request")
        }
        return .record([:])
    }

    /// Ends when no command is inside: each of them has a share of the lock (`RootlessHost.keep`).
    private func endWhenUnused() {
        stay()
        ending = loop.after(seconds: 0.05) { [unowned self] in
            do throws(UrsaError) {
                guard let last = try FileLock.attempt(self.folder + "/" + Names.use) else {
                    return self.endWhenUnused()
                }
                self.lastUse = consume last
            } catch {
                // Its folder is gone: nobody can enter any more.
            }
            // Whoever waits for the lock gets it with the end of this process, which others may see a moment later.
            try? File.remove(self.folder + "/" + Names.holder)
            self.loop.stop()
        }
    }

    /// The private host is needed again.
    private func stay() {
        if let ending { loop.cancel(ending) }
        ending = nil
    }

    private func carry(_ name: String, link: SharedFD, engine: SharedFD, namespace: SharedFD) throws(UrsaError) {
        let space = try OwnedFD.duplicate(namespace.raw)
        let place = SharedFD(space)
        carriers[name] = try FrameCarrier(
            link: OwnedFD.duplicate(link.raw), engine: OwnedFD.duplicate(engine.raw), loop: loop
        ) { [unowned self] in
            // Not now: the carrier is still at work.
            self.loop.after(seconds: 0) { [unowned self] in self.carriers[name] = nil }
            _ = try? OwnedFD.duplicate(place.raw).remove(port: name)
        }
    }

    private func setDoors(_ wanted: Set<Door>) throws(UrsaError) {
        var opened: [(Door, OpenDoor)] = []
        do throws(UrsaError) {
            for door in wanted.subtracting(doors.keys).sorted(by: { $0.description < $1.description }) {
                let listeners = try openOutside(door)
                opened.append(
                    (
                        door,
                        door.isUDP
                            ? .udp(try UDPDoor(door, listeners: listeners, loop: loop))
                            : .tcp(try TCPDoor(door, listeners: listeners, loop: loop))
                    ))
            }
        } catch {
            for (_, open) in opened { open.close() }
            throw error
        }
        for (door, open) in doors where !wanted.contains(door) {
            open.close()
            doors[door] = nil
        }
        for (door, open) in opened { doors[door] = open }
    }

    private func openOutside(_ door: Door) throws(UrsaError) -> [SharedFD] {
        let answer = try outer(.record(["do": "open", "door": door.json]), descriptor: nil)
        let count = Int(answer["count"]?.integer ?? 0)
        var fds = [Int32](repeating: -1, count: 4)
        guard (1...4).contains(count), clinux_receive_fds(channel.raw, &fds, 4) == Int32(count) else {
            throw UrsaError(.io, "the outer part handed no socket over")
        }
        return fds.prefix(count).map { SharedFD(OwnedFD($0)) }
    }

    @discardableResult
    private func outer(_ request: JSON, descriptor: Int32?) throws(UrsaError) -> JSON {
        try sendAll(channel.raw, request.line, to: "the outer part", until: .after(seconds: 5))
        if let descriptor { try check(clinux_send_fds(channel.raw, [descriptor], 1), "pass a descriptor") }
        let answer = try Line.read(channel.raw, seconds: 10)
        if let error = answer["error"] { throw UrsaError(json: error) }
        return answer
    }
}

extension OwnedFD {
    /// A descriptor of its own for what `raw` is open at.
    fileprivate static func duplicate(_ raw: Int32) throws(UrsaError) -> OwnedFD {
        OwnedFD(try retrying("duplicate a descriptor") { fcntl(raw, F_DUPFD_CLOEXEC, 3) })
    }

    fileprivate func remove(port name: String) throws(UrsaError) {
        try HostNetworks.removeFramePort(name: name, namespace: self)
    }
}
