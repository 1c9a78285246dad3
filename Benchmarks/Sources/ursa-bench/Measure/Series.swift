import UrsaBase

/// The values of one measurement, run after run.
struct Series {
    private(set) var values: [Double] = []

    mutating func add(_ value: Double) { values.append(value) }

    /// The middle value; of an even count, the mean of the middle two. 0 of no values.
    var median: Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    var least: Double { values.min() ?? 0 }
    var most: Double { values.max() ?? 0 }
}

/// Milliseconds of wall-clock time that `work` takes.
func milliseconds(_ work: () throws(UrsaError) -> Void) throws(UrsaError) -> Double {
    let start = Deadline.now
    try work()
    return Deadline.now.seconds(since: start) * 1000
}

/// A number with as many decimals as its size deserves: 1234, 56.7, 0.123.
func short(_ value: Double) -> String {
    let decimals = value.magnitude >= 100 ? 0 : value.magnitude >= 10 ? 1 : value.magnitude >= 1 ? 2 : 3
    return fixed(value, decimals)
}

/// A number with exactly `decimals` (0…6) decimals.
func fixed(_ value: Double, _ decimals: Int) -> String {
    guard value.isFinite, value.magnitude < 1e12 else { return "?" }
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    let scaled = Int((value.magnitude * scale).rounded())
    let whole = scaled / Int(scale)
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard decimals > 0 else { return "\(sign)\(whole)" }
    let rest = String(scaled % Int(scale))
    return "\(sign)\(whole).\(String(repeating: "0", count: decimals - rest.count))\(rest)"
}
