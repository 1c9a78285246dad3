import UrsaBase

/// What every family works with: how often, where, and the contestants.
struct Bench {
    /// Measured runs per figure, at least 5.
    let runs: Int
    /// A folder for this run alone; emptied by who made it.
    let scratch: String
    let ursa: Ursa

    /// Runs both sides in turns, so that a change in the machine's load meets both; which side is first changes each
    /// round. Each returns its own measured value, so that it can prepare and clear without being timed.
    func alternate(
        ours: () throws(UrsaError) -> Double, peer: () throws(UrsaError) -> Double
    ) throws(UrsaError) -> (ours: Series, peer: Series) {
        var result = (ours: Series(), peer: Series())
        for round in 0..<runs {
            if round % 2 == 0 { result.ours.add(try ours()) }
            result.peer.add(try peer())
            if round % 2 == 1 { result.ours.add(try ours()) }
        }
        return result
    }

    /// Says what is being done, apart from the figures.
    func note(_ text: String) {
        try? writeAllBytes(2, Array("  \(text)\n".utf8), "standard error")
    }

    /// Writes a spec in a folder of its own and returns the file's path.
    func spec(_ name: String, _ yaml: String) throws(UrsaError) -> String {
        let folder = "\(scratch)/specs/\(name)"
        try File.makeDirectory(folder)
        try File.replace("\(folder)/ursa.yaml", text: yaml)
        return "\(folder)/ursa.yaml"
    }
}

/// A group of figures that share their preparation.
protocol Family {
    /// The word after `ONLY=`.
    static var name: String { get }
    /// Measures. Leaves neither machines nor networks behind; the process's own corner of the host is thrown away
    /// when it ends.
    static func measure(_ bench: Bench) throws(UrsaError) -> [Figure]
}
