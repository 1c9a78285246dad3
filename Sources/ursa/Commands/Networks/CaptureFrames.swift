import ArgumentParser
import Glibc
import UrsaBase
import UrsaControl
import UrsaNet

/// `ursa net capture`
struct CaptureFrames: Verb {
    static let configuration = CommandConfiguration(
        commandName: "capture", abstract: "Show or record the frames of a machine, a network or an uplink.",
        discussion: """
            One line for each frame, or a pcapng file for tcpdump and Wireshark. A network's frames are taken once each, \
            whichever port they come in by. Ends after --count frames, --seconds, or with Ctrl-C.

            Examples:
              ursa net capture web
              ursa net capture web/1 --count 20
              ursa net capture lab -w lab.pcapng --seconds 10
              ursa net capture lab -w - | wireshark -k -i -
            """)

    @Argument(
        help: ArgumentHelp("A machine, MACHINE/CARD, a network, an uplink or a link of the host.", valueName: "what"),
        completion: Completions.machinesAndNetworks)
    var what: String
    @Option(
        name: .shortAndLong, help: ArgumentHelp("Write pcapng; '-' is standard output.", valueName: "file"),
        completion: .file(extensions: ["pcapng"]))
    var write: String?
    @Option(name: .shortAndLong, help: ArgumentHelp("End after so many frames.", valueName: "frames"))
    var count: Int?
    @Option(name: .shortAndLong, help: ArgumentHelp("End after this time.", valueName: "time"))
    var seconds: TimeSpan?
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        if let count, count < 1 {
            throw UrsaError(
                .usage, "the number of frames must be at least 1", place: "--count", remedy: "give 1 or more")
        }
        let ursa = try openUrsa()
        let targets = try ursa.captureTargets(what)
        let sink = try CaptureSink(file: write, json: output.json)
        var left = count ?? Int.max
        // Ctrl-C ends the capture, not the program: what was taken in is written to its end.
        Signals.postpone()
        let counts = try ursa.capture(
            targets, seconds: seconds?.value, ready: { Screen.hint("capturing on \(what); Ctrl-C ends it") },
            idle: { !Signals.isPending && !Screen.readerIsGone }
        ) { (link: String, frame: CapturedFrame) throws(UrsaError) -> Bool in
            try sink.take(link, frame)
            left -= 1
            return left > 0
        }
        try sink.finish(counts)
        let seen = counts.reduce(0) { $0 &+ $1.seen }
        let lost = counts.reduce(0) { $0 &+ $1.lost }
        Screen.hint(
            "\(seen) frame\(seen == 1 ? "" : "s")" + (lost > 0 ? ", \(lost) lost because they came too fast" : ""))
    }
}

/// Where captured frames go: a file, standard output, lines.
private final class CaptureSink {
    private let isJSON: Bool
    private let file: SharedFD?
    private let isPcap: Bool
    private var writer = PcapngWriter()
    private var buffer: [UInt8] = []
    private var last: UInt64 = 0

    init(file: String?, json: Bool) throws(UrsaError) {
        isJSON = json
        isPcap = file != nil
        if let file, file != "-" {
            self.file = SharedFD(
                try File.open(Path.absolute(file), O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644))
        } else {
            self.file = nil
        }
        if isPcap { try put(PcapngWriter.start(application: "ursa \(ursaVersion)")) }
    }

    func take(_ link: String, _ frame: CapturedFrame) throws(UrsaError) {
        last = max(last, frame.time)
        guard isPcap else { return show(link, frame) }
        let (number, block) = writer.link(link)
        try put(block + PcapngWriter.frame(frame, link: number))
    }

    func finish(_ counts: [CaptureCount]) throws(UrsaError) {
        guard isPcap else { return }
        for count in counts {
            let (number, block) = writer.link(count.link)
            try put(block + PcapngWriter.statistics(link: number, time: last, seen: count.seen, lost: count.lost))
        }
    }

    private func put(_ bytes: [UInt8]) throws(UrsaError) {
        if let file { try writeAllBytes(file.raw, bytes, "the capture") } else { Screen.write(bytes: bytes) }
    }

    private func show(_ link: String, _ frame: CapturedFrame) {
        let words = FrameText.line(frame)
        if isJSON {
            Screen.jsonLine(
                .record([
                    "time": .string(timestamp(Double(frame.time) / 1e9)), "link": .string(link),
                    "direction": .string(frame.isOutgoing ? "out" : "in"), "length": .integer(Int64(frame.length)),
                    "frame": .string(words),
                ]))
        } else {
            let time = timestamp(Double(frame.time) / 1e9).dropFirst(11).dropLast()
            // Seen from the host: what goes out over a machine's link comes to the machine.
            Screen.line(printable("\(time) \(link) \(frame.isOutgoing ? "←" : "→") \(words)"))
        }
    }
}
