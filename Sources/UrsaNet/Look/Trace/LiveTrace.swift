import CLinux
import Glibc
public import UrsaBase
import UrsaFirewall

/// Asks the kernel: sends one packet of our own and hears what the packet filters do with it, in the namespace of the
/// network that it comes from, on the host, and in the one that it goes to.
///
/// Whoever made a rule, it is heard: of Ursa, Docker, firewalld or anybody else who uses nftables (also by iptables-nft).
/// While it lasts there are a table `ursa_trace` and a pair of links `utrace0`/`utrace1`; both are gone when it ends.
public struct LiveTrace: Sendable {
    let home: HomeMark

    /// A tracer for a home's networks. Needs root.
    public init(home: HomeMark) { self.home = home }

    /// One place where the packet is heard.
    private struct Post {
        /// Nil: the host.
        var network: String?
        var ear: TraceEar
    }

    /// Sends the packet that a question is about and tells what became of it.
    ///
    /// - Parameter patience: seconds of quiet after which no more is expected.
    public func run(_ route: TraceRoute, patience: Double = 0.3) throws(UrsaError) -> Trace {
        let packet = ProbePacket(
            kind: route.isPing ? .ping : route.isUDP ? .udp : .tcp, source: route.source,
            destination: route.destination,
            sourcePort: UInt16.random(in: 41_000...60_900), port: route.port)
        let stations = stations(of: route)
        var places: [String?] = []
        for name in stations where !places.contains(name) { places.append(name) }
        var posts: [Post] = []
        defer {
            for place in places {
                try? at(place) { () throws(UrsaError) in try? FirewallTable.load(TraceTable.removal) }
            }
        }
        for place in places {
            posts.append(
                Post(
                    network: place,
                    ear: try at(place) { () throws(UrsaError) -> TraceEar in
                        let ear = try TraceEar()
                        try FirewallTable.load(TraceTable.text(packet.match))
                        return ear
                    }))
        }
        let sent = try send(packet, route)
        var steps = [Trace.Step(sent.place, sent.words)]
        if route.isSegment { return segment(sent, steps, posts) }
        var last: (Post, TraceEvent)?
        for station in stations {
            guard let post = posts.first(where: { $0.network == station }) else { continue }
            let events = post.ear.events(quiet: last == nil ? max(patience, 0.3) : patience) {
                $0.contains { TraceTable.ends.contains($0.chain) || $0.verdict == .drop }
            }
            guard !events.isEmpty else { continue }
            let rules = try at(post.network) { () throws(UrsaError) -> RuleTexts in RuleTexts.here() }
            let place = post.network.map { "network \($0)" } ?? "the host"
            if let stop = events.first(where: { $0.verdict == .drop && $0.kind != .returned }) {
                let text = rules.text(stop)
                let isReject = text?.contains("reject") ?? false
                steps += told(events, rules, place, upTo: stop)
                steps.append(
                    Trace.Step(
                        place, "\(isReject ? "rejected" : "dropped") by \(where_(stop)): \(text ?? "its policy")",
                        decides: true))
                return Trace(steps: steps, outcome: isReject ? .rejected : .dropped)
            }
            steps += told(events, rules, place, upTo: nil)
            if let end = events.first(where: { $0.table == TraceTable.name && TraceTable.ends.contains($0.chain) }) {
                last = (post, end)
            } else {
                steps.append(
                    Trace.Step(
                        place, "no further: there is no way on from here, or something other than nftables took it",
                        decides: true))
                return Trace(steps: steps, outcome: .unreachable)
            }
        }
        guard let (post, end) = last else {
            steps.append(
                Trace.Step(
                    sent.place, "the packet met no packet filter at all: it did not get off its bridge", decides: true))
            return Trace(steps: steps, outcome: .unreachable)
        }
        let place = post.network.map { "network \($0)" } ?? "the host"
        steps.append(arrival(place, post.network, end, route))
        let isThere = station(route.target) == post.network
        return Trace(steps: steps, outcome: isThere ? .passes : .unreachable)
    }

    /// The stations of its way; one that goes back into the network that it came from is heard there twice. A network
    /// with its bridge on the host is heard there.
    private func stations(of route: TraceRoute) -> [String?] {
        let isInside = route.target != nil && route.target == route.network && !route.isReturned
        var all: [String?] = []
        if let network = route.network { all.append(network) }
        if !isInside {
            all.append(nil)
            if let target = route.target { all.append(target) }
        }
        var result: [String?] = []
        for station in all.map(station) where result.isEmpty || result.last != .some(station) { result.append(station) }
        return result
    }

    private func station(_ network: String?) -> String? {
        network.flatMap { home.namespace($0).exists ? $0 : nil }
    }

    private func arrival(_ place: String, _ network: String?, _ end: TraceEvent, _ route: TraceRoute) -> Trace.Step {
        if end.chain == "late_in" { return Trace.Step(place, "it is handed to a program there", decides: true) }
        let out = end.out.flatMap { index in
            (try? at(network) { () throws(UrsaError) -> String? in
                try NetlinkSocket().links().first { $0.index == index }?.name
            }) ?? nil
        }
        return Trace.Step(place, "it leaves by \(out ?? "a link")", decides: true)
    }

    /// What the chains of others and of ours did, in words: only rules that decide something.
    private func told(_ events: [TraceEvent], _ rules: RuleTexts, _ place: String, upTo stop: TraceEvent?) -> [Trace
        .Step]
    {
        var steps: [Trace.Step] = []
        for event in events where event.table != TraceTable.name {
            if event == stop { break }
            let text = rules.text(event).map { ": \($0)" } ?? ""
            switch (event.kind, event.verdict) {
            case (.rule, .accept): steps.append(Trace.Step(place, "accepted in \(where_(event))\(text)"))
            case (.rule, .jump(let chain)), (.rule, .goto(let chain)):
                steps.append(Trace.Step(place, "\(where_(event)) sends it to \(chain)\(text)"))
            case (.policy, .accept): steps.append(Trace.Step(place, "passes \(where_(event)) (policy accept)"))
            default: continue
            }
        }
        return steps
    }

    private func where_(_ event: TraceEvent) -> String {
        "chain \(event.chain) of table \(event.family) \(event.table)"
    }

    /// Runs on a thread inside a network's namespace, or here for the host.
    private func at<R: Sendable>(
        _ network: String?, _ body: @escaping @Sendable () throws(UrsaError) -> R
    ) throws(UrsaError) -> R {
        guard let network else { return try body() }
        return try home.namespace(network).run(body)
    }

    // MARK: sending

    private struct Sent {
        var place: String
        var words: String
        /// Whether it was seen to leave by another port of the bridge.
        var port: String?
    }

    private func send(_ packet: ProbePacket, _ route: TraceRoute) throws(UrsaError) -> Sent {
        let what =
            "a packet of our own (\(route.isPing ? "echo" : route.isUDP ? "UDP" : "TCP SYN") from \(route.source)"
            + (route.isPing ? "" : ":\(packet.sourcePort)") + " to \(route.destination)"
            + (route.isPing ? ")" : ":\(route.port))")
        if let network = route.network {
            guard let place = home.place(network) else {
                throw UrsaError(.notFound, "the network \(network) is not up", remedy: "start a machine on it")
            }
            let mac = home.mac("trace \(network)")
            let port = try place.run { () throws(UrsaError) -> String? in
                try LiveTrace.sendFromBridge(packet, route, place, mac: mac)
            }
            return Sent(
                place: "network \(network)", words: "\(what) is sent by a port beside the machine's", port: port)
        }
        if route.isFromHost {
            try LiveTrace.sendFromHost(packet)
            return Sent(place: "the host", words: "\(what) is sent", port: nil)
        }
        guard let name = route.interface else {
            throw UrsaError(.notFound, "it is not known by which link a packet would come in")
        }
        try LiveTrace.sendIntoLink(packet, name, gateway: route.gateway, mac: home.mac("trace \(name)"))
        return Sent(place: "outside", words: "\(what) comes in by \(name)", port: nil)
    }

    private static func sendFromBridge(
        _ packet: ProbePacket, _ route: TraceRoute, _ place: NetworkPlace, mac: [UInt8]
    ) throws(UrsaError) -> String? {
        let socket = try NetlinkSocket()
        guard let bridge = try socket.link(place.bridge) else { throw UrsaError(.notFound, "the bridge is gone") }
        let ours = try ProbePort.onBridge(bridge, mac: mac)
        defer { ProbePort.remove() }
        let target = route.isSegment ? route.mac : nil
        let bridgeMAC = MACAddress(bridge.mac.reduce(0) { $0 << 8 | UInt64($1) })
        // Where it comes out again is only asked of a frame that stays on the bridge.
        var ears: [BridgeEar] = []
        if route.isSegment {
            for link in try socket.links() where link.master == bridge.index && link.name != ProbePort.port {
                ears.append(BridgeEar(link.name, try PacketSocket(link: link.index)))
            }
        }
        let sender = try PacketSocket(link: ours.index, isSending: true)
        try sender.send(packet.frame(to: target ?? bridgeMAC, from: MACAddress(mac.reduce(0) { $0 << 8 | UInt64($1) })))
        var buffer = [UInt8](repeating: 0, count: 2048)
        let deadline = Deadline.after(seconds: route.isSegment ? 0.3 : 0.02)
        repeat {
            for ear in ears {
                while let frame = try ear.socket.receive(&buffer) {
                    if frame.isOutgoing, packet.isIn(frame.bytes) { return ear.name }
                }
            }
            pause(milliseconds: 2)
        } while !deadline.isPast
        return nil
    }

    private final class BridgeEar {
        let name: String
        let socket: PacketSocket
        init(_ name: String, _ socket: consuming PacketSocket) {
            self.name = name
            self.socket = socket
        }
    }

    private func segment(_ sent: Sent, _ before: [Trace.Step], _ posts: [Post]) -> Trace {
        guard let port = sent.port else {
            return Trace(
                steps: before + [Trace.Step(sent.place, "it came out of no other port of the bridge", decides: true)],
                outcome: .dropped)
        }
        return Trace(
            steps: before + [Trace.Step(sent.place, "it came out of the port \(port)", decides: true)], outcome: .passes
        )
    }

    /// By a raw socket, so that it goes the way of the host's own packets.
    private static func sendFromHost(_ asked: ProbePacket) throws(UrsaError) {
        var packet = asked
        let family = packet.destination.isIPv6 ? AF_INET6 : AF_INET
        if let source = HostAddress.towards(packet.destination) {
            packet.source = source
        } else {
            throw UrsaError(.io, "the host has no way to \(packet.destination)")
        }
        let fd = OwnedFD(
            try retrying("open a raw socket") {
                socket(family, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), Int32(IPPROTO_RAW))
            })
        let bytes = packet.bytes
        try retrying("send a packet to \(packet.destination)") {
            HostAddress.withName(packet.destination, port: 0) { name, size in
                bytes.withUnsafeBytes { sendto(fd.raw, $0.baseAddress, $0.count, 0, name, size) }
            }
        }
    }

    private static func sendIntoLink(
        _ packet: ProbePacket, _ name: String, gateway: IPAddress?, mac: [UInt8]
    ) throws(UrsaError) {
        let socket = try NetlinkSocket()
        guard let link = try socket.link(name), link.mac.count == 6 else {
            throw UrsaError(.notFound, "there is no link \(name) that Ethernet frames come in by")
        }
        let known = try socket.neighbours().first { $0.link == link.index && $0.address == gateway }?.mac
        let ours = try ProbePort.intoLink(link, mac: mac)
        defer { ProbePort.remove() }
        let to = MACAddress(link.mac.reduce(0) { $0 << 8 | UInt64($1) })
        let from = known ?? MACAddress(mac.reduce(0) { $0 << 8 | UInt64($1) })
        let frame = packet.frame(to: to, from: from)
        // Our filter sees what comes in at the pair's first end, which is what the second one sends.
        try PacketSocket(link: ours.index, isSending: true).send(frame)
        // The kernel hands it over in the sending call; a moment for a busy host.
        pause(milliseconds: 20)
    }
}

/// The host's own address towards somebody.
enum HostAddress {
    /// The source that the kernel takes for a destination; nil when there is no way there.
    static func towards(_ destination: IPAddress) -> IPAddress? {
        let raw = socket(
            destination.isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { return nil }
        let fd = OwnedFD(raw)
        guard withName(destination, port: 9, { connect(fd.raw, $0, $1) }) == 0 else { return nil }
        var name = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(fd.raw, $0, &size) }
        }
        guard result == 0 else { return nil }
        return withUnsafeBytes(of: &name) { bytes in
            // struct sockaddr_in has its address at 4, sockaddr_in6 at 8.
            destination.isIPv6 ? IPAddress(wire: ArraySlice(bytes[8..<24])) : IPAddress(wire: ArraySlice(bytes[4..<8]))
        }
    }

    /// Calls `body` with the socket address of a place.
    static func withName<R>(
        _ address: IPAddress, port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R
    ) -> R {
        switch address {
        case .v4(let address):
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            name.sin_addr.s_addr = address.value.bigEndian
            return withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        case .v6(let address):
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = port.bigEndian
            withUnsafeMutableBytes(of: &name.sin6_addr) { $0.copyBytes(from: address.bytes) }
            return withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
    }
}
