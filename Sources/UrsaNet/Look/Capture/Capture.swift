import CLinux
import Glibc
public import UrsaBase

/// Links whose frames are captured, all in one place.
public struct CaptureTarget: Sendable, Hashable {
    /// Which frames.
    public enum Choice: Sendable, Hashable {
        /// All that pass these links, by name.
        case links([String])
        /// Every frame of the network once: what comes in by the ports of its bridge, and what the bridge itself sends.
        case network
    }
    /// The network in whose namespace the links are; nil: the host itself.
    public var network: String?
    /// Which frames.
    public var choice: Choice
    /// What links are called in the result, by their own names; others keep theirs.
    public var labels: [String: String]

    /// A place to capture at.
    public init(network: String?, choice: Choice, labels: [String: String] = [:]) {
        self.network = network
        self.choice = choice
        self.labels = labels
    }
}

/// What a capture of one link came to.
public struct CaptureCount: Sendable, Hashable {
    /// What the link is called.
    public var link: String
    /// Frames that were seen.
    public var seen: UInt64
    /// Frames that the kernel dropped because nobody took them in time.
    public var lost: UInt64
}

extension HostNetworks {
    /// Takes frames in until `deliver` says no or the time is over; returns what was seen and lost per link.
    ///
    /// Needs CAP_NET_RAW. Links that come meanwhile join within a second; one that goes is left out.
    /// - Parameters:
    ///   - seconds: how long; nil: until `deliver` returns false.
    ///   - ready: called once, when every frame from now on will be seen.
    ///   - deliver: gets each frame with its link's label, in the order of arrival per link; false ends the capture.
    ///   - idle: asked several times a second; false ends the capture.
    public func capture(
        _ targets: [CaptureTarget], seconds: Double? = nil, ready: () -> Void = {}, idle: () -> Bool = { true },
        deliver: (String, CapturedFrame) throws(UrsaError) -> Bool
    ) throws(UrsaError) -> [CaptureCount] {
        let end = seconds.map { Deadline.after(seconds: $0) }
        var ears: [Ear] = []
        try join(targets, &ears)
        guard !ears.isEmpty else {
            throw UrsaError(.notFound, "there is no link to capture on", remedy: "`ursa net map` shows what is up")
        }
        ready()
        var buffer = [UInt8](repeating: 0, count: PcapngWriter.snapLength)
        var look = Deadline.after(seconds: 1)
        loop: while end?.isPast != true, idle() {
            var polls = ears.map { pollfd(fd: $0.raw, events: Int16(POLLIN), revents: 0) }
            let wait = min(200, min(look, end ?? look).millisecondsLeft)
            let count = poll(&polls, nfds_t(polls.count), wait)
            if count < 0, errno != EINTR { throw UrsaError.system(.current, "wait for frames") }
            for (ear, state) in zip(ears, polls) where count > 0 && state.revents != 0 {
                // A bound of frames per turn, so that a loud link does not starve the others.
                for _ in 0..<64 {
                    guard let frame = try ear.receive(&buffer) else { break }
                    guard ear.wants(frame) else { continue }
                    ear.seen &+= 1
                    if try !deliver(ear.label, frame) { break loop }
                }
            }
            if look.isPast {
                try join(targets, &ears)
                look = .after(seconds: 1)
            }
        }
        return ears.map { CaptureCount(link: $0.label, seen: $0.seen, lost: $0.lost) }
    }

    /// Opens sockets on links that are wanted and have none yet.
    private func join(_ targets: [CaptureTarget], _ ears: inout [Ear]) throws(UrsaError) {
        for target in targets {
            let known = Set(ears.filter { $0.network == target.network }.map(\.index))
            guard let network = target.network else {
                ears += try Ear.open(target, bridge: nil, except: known)
                continue
            }
            guard let place = place(network) else { continue }
            ears += try place.run { () throws(UrsaError) -> [Ear] in
                try Ear.open(target, bridge: place.bridge, except: known)
            }
        }
    }
}

/// A socket on one link, with what belongs to it. Used by the thread that captures only.
private final class Ear: @unchecked Sendable {
    // SAFETY: made on the thread that entered the namespace, then handed over whole to the one that captures.
    let network: String?
    let index: Int32
    let label: String
    private let direction: Bool?
    private let socket: PacketSocket
    var seen: UInt64 = 0
    var lost: UInt64 { UInt64(socket.statistics().lost) }
    var raw: Int32 { socket.raw }

    /// `direction`: only frames that go out (true) or come in (false); nil: both.
    private init(_ target: CaptureTarget, _ link: Link, direction: Bool?) throws(UrsaError) {
        network = target.network
        index = link.index
        label = target.labels[link.name] ?? link.name
        self.direction = direction
        socket = try PacketSocket(link: link.index)
    }

    func receive(_ buffer: inout [UInt8]) throws(UrsaError) -> CapturedFrame? { try socket.receive(&buffer) }

    func wants(_ frame: CapturedFrame) -> Bool { direction == nil || direction == frame.isOutgoing }

    static func open(_ target: CaptureTarget, bridge name: String?, except known: Set<Int32>) throws(UrsaError) -> [Ear]
    {
        let links = try NetlinkSocket().links()
        var result: [Ear] = []
        switch target.choice {
        case .links(let names):
            for link in links where names.contains(link.name) && !known.contains(link.index) {
                result.append(try Ear(target, link, direction: nil))
            }
        case .network:
            guard let bridge = links.first(where: { $0.name == name }) else { return [] }
            if !known.contains(bridge.index) { result.append(try Ear(target, bridge, direction: true)) }
            for link in links where link.master == bridge.index && !known.contains(link.index) {
                result.append(try Ear(target, link, direction: false))
            }
        }
        return result
    }
}
