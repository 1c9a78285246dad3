import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaModel
import UrsaNet

/// `ursa net impair`
struct ImpairNetwork: Verb {
    static let configuration = CommandConfiguration(
        commandName: "impair", abstract: "Make a machine's or a network's frames late, slow or lost, to try programs.",
        discussion: """
            It is done to what machines receive; `ursa net ls` and `ursa net map` tell it. It goes with --clear, and with \
            the network. --delay needs a kernel with the netem queue.

            Examples:
              ursa net impair web --loss 10%
              ursa net impair lab --delay 50ms --jitter 5ms --rate 10M
              ursa net impair web --clear
            """)

    @Argument(
        help: ArgumentHelp("A machine, MACHINE/CARD, or a network.", valueName: "what"),
        completion: Completions.machinesAndNetworks)
    var what: String
    @Option(name: .long, help: ArgumentHelp("Share of the frames that is lost: 10%, 0.5%.", valueName: "percent"))
    var loss: Percent?
    @Option(name: .long, help: ArgumentHelp("How long each frame is held back: 50ms, 1s.", valueName: "time"))
    var delay: Milliseconds?
    @Option(name: .long, help: ArgumentHelp("How much the delay varies, both ways.", valueName: "time"))
    var jitter: Milliseconds?
    @Option(name: .long, help: ArgumentHelp("Bits per second that get through: 10M, 512k.", valueName: "rate"))
    var rate: LineRate?
    @Flag(name: .long, help: "Take the impairment away.")
    var clear = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let isNothing = loss == nil && delay == nil && jitter == nil && rate == nil
        guard clear == isNothing else {
            throw UrsaError(
                .usage, clear ? "--clear excludes the other options" : "it is not said how to impair",
                place: "ursa net impair",
                remedy: clear ? "leave them out" : "give --loss, --delay, --jitter or --rate, or --clear")
        }
        guard jitter == nil || delay != nil else {
            throw UrsaError(
                .usage, "--jitter varies a --delay, and there is none", place: "--jitter", remedy: "add --delay")
        }
        let impairment = Impairment(
            loss: loss?.hundredths ?? 0, delay: delay?.value ?? 0, jitter: jitter?.value ?? 0,
            rate: rate?.value.bytesPerSecond)
        let networks = try openUrsa().impair(what, clear ? nil : impairment)
        if output.json {
            return Screen.json(
                .record([
                    "name": .string(what), "networks": .array(unique(networks).map(JSON.string)),
                    "impairment": clear ? .null : impairment.json,
                ]))
        }
        Screen.line(printable("\(what): \(clear ? "nothing is impaired" : "\(impairment)")"))
    }
}

/// `10%`, `0.5%`, `12`: at most 100, steps of a hundredth.
struct Percent: ExpressibleByArgument {
    /// In hundredths of a percent.
    let hundredths: Int

    init?(argument: String) {
        let digits = argument.hasSuffix("%") ? argument.dropLast() : argument[...]
        guard !digits.isEmpty, digits.utf8.count <= 8, digits.utf8.allSatisfy({ (48...57).contains($0) || $0 == 46 }),
            let number = Double(digits), number <= 100
        else { return nil }
        hundredths = Int((number * 100).rounded())
    }
}

/// `50ms`, `1.5s`, at most an hour.
struct Milliseconds: ExpressibleByArgument {
    /// Whole milliseconds.
    let value: Int

    init?(argument: String) {
        let isShort = argument.hasSuffix("ms")
        guard let span = TimeSpan(argument: isShort ? String(argument.dropLast(2)) : argument),
            isShort || argument.hasSuffix("s"),
            span.value <= (isShort ? 3_600_000 : 3600)
        else { return nil }
        value = Int((isShort ? span.value : span.value * 1000).rounded())
    }
}

/// `10M`, `512k`: bits per second.
struct LineRate: ExpressibleByArgument {
    /// The rate.
    let value: BitRate

    init?(argument: String) {
        guard let rate = BitRate(argument), rate.bitsPerSecond >= 1000 else { return nil }
        value = rate
    }
}
