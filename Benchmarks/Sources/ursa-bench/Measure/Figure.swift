/// What a figure must reach. Smaller is better in every figure.
enum Goal {
    /// At most this many times the peer's value.
    case ratio(Double)
    /// At most this value, whatever the peer has.
    case value(Double)
}

/// One line of the benchmark: ours and a peer's, measured in turns in the same run.
struct Figure {
    /// `family.what`.
    let name: String
    /// What is compared with what, for the table in docs/benchmarks.md.
    let meaning: String
    let ours: Series
    let peer: Series
    /// `ms` or `MiB`.
    let unit: String
    let goal: Goal

    /// Ours over the peer's; how good the figure is does not depend on how fast the machine is.
    var ratio: Double { peer.median > 0 ? ours.median / peer.median : .infinity }

    var passes: Bool {
        switch goal {
        case .ratio(let limit): ratio <= limit
        case .value(let limit): ours.median <= limit
        }
    }

    /// `0.25` for a ratio, `60ms` for a value.
    var goalText: String {
        switch goal {
        case .ratio(let limit): fixed(limit, 2)
        case .value(let limit): "\(fixed(limit, limit < 10 ? 1 : 0))\(unit)"
        }
    }

    /// The line that scripts read.
    var line: String {
        "bench \(name): ours=\(short(ours.median)) peer=\(short(peer.median)) unit=\(unit) ratio=\(fixed(ratio, 3)) "
            + "goal=\(goalText) \(passes ? "PASS" : "SHORT")"
    }
}
