import ArgumentParser
import UrsaBase
import UrsaControl

/// How machines are ended: `--timeout`, `--kill`.
struct EndingOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Time from the power button to the kill; left out: each machine's own.", valueName: "seconds"))
    var timeout: TimeSpan?
    @Flag(name: .long, help: "Kill at once, without the power button. The guest can lose what it has not written.")
    var kill = false

    /// The options as the façade takes them.
    var options: StopOptions {
        get throws(UrsaError) {
            guard !(kill && timeout != nil) else {
                throw UrsaError(
                    .usage, "--kill waits for nothing", place: "--timeout", remedy: "leave one of the two out")
            }
            var options = StopOptions()
            options.seconds = timeout?.whole
            options.kill = kill
            return options
        }
    }
}
