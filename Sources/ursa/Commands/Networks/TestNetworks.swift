import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaNet

/// `ursa net test`
struct TestNetworks: Verb {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Send real packets along everything that the networks promise.",
        discussion: """
            Addresses, names, neighbours, host, outside, every pair of zones by TCP, UDP and ping, published ports, \
            uplinks: a line for each, and why when it is not kept. For a moment there are probe ports on the networks. \
            Exit status 1 when a promise is broken. Needs root.

            Examples:
              sudo ursa net test
              sudo ursa net test --json | jq '.[] | select(.kept | not)'
            """)

    @Flag(name: .shortAndLong, help: "Show only what is broken.")
    var quiet = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) { _ = try test() }

    /// The table is the answer; the status says whether every promise is kept.
    mutating func run() throws {
        if try !test() { throw ExitCode(1) }
    }

    private func test() throws(UrsaError) -> Bool {
        // A person sees each line as it is found out, aligned well enough; a file gets the table.
        let promises = try openUrsa().testNetworks { promise in
            if Terminal.isErrors, !output.json, !Terminal.isOutput { Screen.hint(printable(promise.what)) }
        }
        let broken = promises.count { !$0.isKept }
        if output.json {
            Screen.json(.array(promises.map(\.json)))
            return broken == 0
        }
        var table = Table("", "TOPIC", "PROMISE", "EXPECTED", "SEEN", "WHY")
        for promise in promises where !quiet || !promise.isKept {
            table.add(
                promise.isKept ? "ok" : "BROKEN", promise.topic, promise.what, promise.expected, promise.seen,
                promise.why)
        }
        if !promises.isEmpty, !quiet || broken > 0 { table.print() }
        Screen.line("\(promises.count) promises, " + (broken == 0 ? "all kept" : "\(broken) broken"))
        return broken == 0
    }
}
