import ArgumentParser
import Glibc
import UrsaBase
import UrsaControl

/// `ursa events`
struct Events: Verb {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Print what has happened to machines and networks.",
        discussion: """
            All that is known, or with -f the last ten and what is to come. With --json, one object on each line.

            Examples:
              ursa events --since 10m
              ursa events -f --since 0 --json | jq -c 'select(.event == "ended")'
            """)

    @Flag(name: .shortAndLong, help: "Go on as more happens.")
    var follow = false
    @Option(
        name: .long,
        help: ArgumentHelp(
            "From this moment on: a time ago such as 30s, 10m, 2h, 1d, or a time such as 2026-11-21T10:00:00Z.",
            valueName: "time"))
    var since: Moment?
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let ursa = try openUrsa()
        let path = ursa.eventsPath
        // The size is taken first: what comes while the past is read is met again and known by its text.
        let size = File.status(path).map { UInt64(clamping: $0.st_size) } ?? 0
        var shown: Set<String> = []
        let past = try ursa.events(since: since?.value)
        for event in follow && since == nil ? past.suffix(10) : past[...] {
            show(event)
            if follow { shown.insert(event.json.text) }
        }
        guard follow else { return }
        var log = try LogFollower { () throws(UrsaError) in File.exists(path) ? [path] : [] }
        log.seek(byte: size, in: path)
        var partial: [UInt8] = []
        while !LogFollower.readerIsGone {
            try log.read { partial.append(contentsOf: $0) }
            while let end = partial.firstIndex(of: 0x0a) {
                let line = String(decoding: partial[..<end], as: UTF8.self)
                partial.removeSubrange(...end)
                guard let event = ursa.parseEvent(line), !shown.contains(event.json.text) else { continue }
                show(event)
            }
            // No record is that long: what is there is damage.
            if partial.count > 1 << 20 { partial = [] }
            if log.wait(seconds: 30) { shown = [] }
        }
    }

    private func show(_ event: EventView) {
        if output.json { return Screen.jsonLine(event.json) }
        let machine = event.machine ?? "-"
        Screen.line("\(timestamp(event.time))  \(printable("\(machine)  \(event.kind)  \(event.detail)"))")
    }
}
