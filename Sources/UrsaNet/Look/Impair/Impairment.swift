public import UrsaBase

/// What is done on purpose to the frames that machines receive, to see how programs stand it.
public struct Impairment: Sendable, Hashable, CustomStringConvertible {
    /// Share of the frames that are lost, in hundredths of a percent, 0…10,000.
    public var loss: Int
    /// Milliseconds that each frame is held back.
    public var delay: Int
    /// How many milliseconds the delay varies, both ways.
    public var jitter: Int
    /// Bytes per second that get through, the rest waits and is lost when it is too much; nil: no limit.
    public var rate: UInt64?

    /// An impairment; what is left out is left alone.
    public init(loss: Int = 0, delay: Int = 0, jitter: Int = 0, rate: UInt64? = nil) {
        self.loss = loss
        self.delay = delay
        self.jitter = jitter
        self.rate = rate
    }

    /// Whether it does nothing.
    public var isNone: Bool { loss == 0 && delay == 0 && jitter == 0 && rate == nil }

    /// `loss 10 %, rate 10 Mbit/s`
    public var description: String {
        var words: [String] = []
        if loss > 0 { words.append("loss \(Self.percent(loss)) %") }
        if delay > 0 || jitter > 0 { words.append("delay \(delay) ms" + (jitter > 0 ? " ± \(jitter) ms" : "")) }
        if let rate { words.append("rate \(Self.bits(rate))") }
        return words.isEmpty ? "none" : words.joined(separator: ", ")
    }

    /// `10`, `0.5`, `12.25`
    private static func percent(_ hundredths: Int) -> String {
        let rest = hundredths % 100
        if rest == 0 { return "\(hundredths / 100)" }
        return "\(hundredths / 100).\(rest % 10 == 0 ? "\(rest / 10)" : rest < 10 ? "0\(rest)" : "\(rest)")"
    }

    /// Bytes per second as bits per second, as rates of lines are told.
    static func bits(_ bytes: UInt64) -> String {
        let (bits, overflow) = bytes.multipliedReportingOverflow(by: 8)
        guard !overflow else { return "\(bytes) B/s" }
        for (factor, unit) in [(1_000_000_000, "Gbit/s"), (1_000_000, "Mbit/s"), (1_000, "kbit/s")]
            as [(UInt64, String)]
        where bits >= factor && bits % factor == 0 {
            return "\(bits / factor) \(unit)"
        }
        return "\(bits) bit/s"
    }

    /// The form that is kept in the kernel, as a rule's comment: `loss=1000 delay=50 jitter=5 rate=1250000`.
    var mark: String {
        "loss=\(loss) delay=\(delay) jitter=\(jitter)" + (rate.map { " rate=\($0)" } ?? "")
    }

    /// Reads `mark`; nil for any other text.
    init?(mark: Substring) {
        self.init()
        for part in mark.split(separator: " ") {
            let sides = part.split(separator: "=", maxSplits: 1)
            guard sides.count == 2, let value = UInt64(sides[1]), value <= UInt64(Int64.max) else { return nil }
            switch sides[0] {
            case "loss": loss = Int(min(value, 10_000))
            case "delay": delay = Int(min(value, 3_600_000))
            case "jitter": jitter = Int(min(value, 3_600_000))
            case "rate": rate = value
            default: return nil
            }
        }
    }

    /// The impairment as JSON: percent, milliseconds, bytes per second.
    public var json: JSON {
        .record([
            "lossPercent": .number(Double(loss) / 100), "delay": .integer(Int64(delay)),
            "jitter": .integer(Int64(jitter)), "rate": rate.map { .integer(Int64(clamping: $0)) },
        ])
    }
}
