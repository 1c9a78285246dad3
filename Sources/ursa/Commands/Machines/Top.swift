import ArgumentParser
import Glibc
import UrsaBase
import UrsaControl

/// `ursa top`
struct Top: Verb {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Show what running machines use.",
        discussion: """
            On a terminal a live table that q or Ctrl-C ends; elsewhere a table for each interval. 100 % is one \
            processor of the host.

            Examples:
              ursa top
              ursa top -1
              ursa top --once --json | jq '.[].cpuPercent'
            """)

    @Flag(name: [.customShort("1"), .long], help: "One table, then end.")
    var once = false
    @Option(name: .shortAndLong, help: ArgumentHelp("Time between looks, 0.1 s at least.", valueName: "seconds"))
    var interval = TimeSpan(2)
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        guard interval.value >= 0.1 else {
            throw UrsaError(.usage, "the interval is too short", place: "--interval", remedy: "give 0.1 or more")
        }
        let ursa = try openUrsa()
        let isLive = !once && !output.json && Terminal.isInput && Terminal.isOutput
        var before = try UsageSample(ursa)
        guard isLive else {
            while true {
                // One look knows no speeds: it takes two.
                pause(milliseconds: UInt32(min(once ? min(interval.value, 1) : interval.value, 86400) * 1000))
                let now = try UsageSample(ursa)
                let json = now.json(since: before)
                if output.json, once {
                    Screen.json(json)
                } else if output.json {
                    Screen.jsonLine(json)
                } else {
                    now.table(since: before).print()
                }
                if once || LogFollower.readerIsGone { return }
                before = now
            }
        }
        try Terminal.enterRaw(farewell: "\u{1b}[?25h\u{1b}[?1049l")
        defer { Terminal.leaveRaw() }
        Screen.write("\u{1b}[?1049h\u{1b}[?25l")
        draw(before, since: nil)
        var look = Deadline.after(seconds: min(interval.value, 1))
        while true {
            switch key(until: look) {
            case .leave: return
            case .other: continue
            case nil: break
            }
            let now = try UsageSample(ursa)
            draw(now, since: before)
            before = now
            look = Deadline.after(seconds: interval.value)
        }
    }

    private enum Key { case leave, other }

    /// A key pressed before the deadline: q, Q, Ctrl-C, Ctrl-D leave; so does a terminal that is gone.
    private func key(until deadline: Deadline) -> Key? {
        var waiting = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, deadline.millisecondsLeft) > 0 else { return deadline.isPast ? nil : .other }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(STDIN_FILENO, &bytes, bytes.count)
        guard count > 0 else { return .leave }
        return bytes[0..<count].contains { [0x71, 0x51, 0x03, 0x04].contains($0) } ? .leave : .other
    }

    private func draw(_ sample: UsageSample, since before: UsageSample?) {
        let size = Terminal.size ?? (80, 24)
        let title = "ursa top — \(sample.count) running, every \(interval.defaultValueDescription) s, q leaves"
        let text = String(title.prefix(size.columns)) + "\n" + sample.table(since: before).text(width: size.columns)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).prefix(max(1, size.rows - 1))
        // Overwriting in place does not flicker.
        Screen.write("\u{1b}[H" + lines.map { $0 + "\u{1b}[K" }.joined(separator: "\r\n") + "\u{1b}[J")
    }
}

/// What all running machines have used up to a moment.
struct UsageSample {
    private let moment: Deadline
    private let usage: [UsageView]

    /// The number of machines.
    var count: Int { usage.count }

    /// Looks now.
    init(_ ursa: Ursa) throws(UrsaError) {
        let names = try ursa.machines().filter { $0.enginePid != nil }.map(\.name)
        usage = names.isEmpty ? [] : try ursa.usage(names)
        moment = .now
    }

    /// A sample from values.
    init(moment: Deadline, usage: [UsageView]) {
        self.moment = moment
        self.usage = usage
    }

    private struct Rates {
        var cpuPercent: Double?
        var diskRead: Double?
        var diskWritten: Double?
        var received: Double?
        var sent: Double?
    }

    private func rates(_ now: UsageView, since before: UsageSample?) -> Rates {
        guard let before, let earlier = before.usage.first(where: { $0.name == now.name }) else { return Rates() }
        let seconds = moment.seconds(since: before.moment)
        // A machine that has started anew counts from zero again.
        guard seconds > 0, now.cpuSeconds >= earlier.cpuSeconds else { return Rates() }
        func rate(_ now: UInt64?, _ earlier: UInt64?) -> Double? {
            guard let now, let earlier, now >= earlier else { return nil }
            return Double(now - earlier) / seconds
        }
        return Rates(
            cpuPercent: (now.cpuSeconds - earlier.cpuSeconds) / seconds * 100,
            diskRead: rate(now.diskRead, earlier.diskRead), diskWritten: rate(now.diskWritten, earlier.diskWritten),
            received: rate(now.received, earlier.received), sent: rate(now.sent, earlier.sent))
    }

    /// Speeds are those since the sample before; `-` where unknown.
    func table(since before: UsageSample?) -> Table {
        func speed(_ value: Double?) -> String {
            value.map { ByteCount(UInt64(max(0, min($0, 1e18)))).rounded + "/s" } ?? "-"
        }
        var table = Table("NAME", "CPU", "MEMORY", "KEEPER", "RECEIVED", "SENT", "READ", "WRITTEN")
        for machine in usage {
            let rates = rates(machine, since: before)
            table.add(
                machine.name, rates.cpuPercent.map(percent) ?? "-", machine.memory.rounded,
                machine.keeperMemory.rounded,
                speed(rates.received), speed(rates.sent), speed(rates.diskRead), speed(rates.diskWritten))
        }
        return table
    }

    /// Totals, with the processor share since the sample before.
    func json(since before: UsageSample) -> JSON {
        .array(
            usage.map { machine in
                func number(_ value: UInt64?) -> JSON? { value.map { .integer(Int64(clamping: $0)) } }
                return .record([
                    "name": .string(machine.name),
                    "cpuPercent": rates(machine, since: before).cpuPercent.map { .number(($0 * 10).rounded() / 10) },
                    "cpuSeconds": .number(machine.cpuSeconds), "memory": number(machine.memory.bytes),
                    "keeperMemory": number(machine.keeperMemory.bytes), "received": number(machine.received),
                    "sent": number(machine.sent), "diskRead": number(machine.diskRead),
                    "diskWritten": number(machine.diskWritten),
                ])
            })
    }

    private func percent(_ value: Double) -> String {
        guard value.isFinite, value < 1e9 else { return "?" }
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) %"
    }
}
