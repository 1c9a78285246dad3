import ArgumentParser
import UrsaBase

/// `--json`, for every command that prints data. The program looks for it before parsing, so that errors of the
/// parser are JSON too.
struct OutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Print JSON; errors and remarks become JSON lines on standard error.")
    var json = false
}
