import ArgumentParser
import CLinux
import Glibc
import UrsaBase

/// `ursa` from its arguments to its exit status.
enum CommandLineProgram {
    /// Parses, runs, prints what went wrong.
    ///
    /// - Returns: the exit status: 0 done, 1 failed, 2 wrong usage or spec, 3 not found. A signal ends the program with
    ///   130 without coming back here (see `Signals`).
    ///
    /// - Parameter program: the name that it was called by.
    static func run(program: String, arguments: [String]) -> Int32 {
        fillStandardDescriptors()
        // A reader that went away (`ursa ps | head`) shows as an error of write(2) and is no failure of ours.
        _ = clinux_ignore_sigpipe()
        // Completion runs at each press of the Tab key: no threads, no signals, nothing but the answer.
        if arguments.first == "---completion" { return Completions.answer(arguments) }
        Screen.isJSON = wantsJSON(arguments)
        if let image = ImageTool.call(program: program, arguments: arguments) { return run(image) }
        if geteuid() != 0, let error = PrivateHostEntry.enter(arguments) {
            Screen.fail(error)
            return error.code.exitStatus
        }
        do {
            try Signals.handle()
            if let error = Spelling.unknownCommand(in: arguments) { throw error }
            var command = try command(of: arguments)
            try command.run()
        } catch let error as UrsaError {
            Screen.fail(error)
            return error.code.exitStatus
        } catch let status as ExitCode {
            return finish(status.rawValue)
        } catch {
            return report(parserError: error, arguments: arguments)
        }
        return finish(0)
    }

    /// The command that arguments ask for. The parser's picture of all commands takes longer than many of them run, so a
    /// line that names its verb first is given to that verb alone; all that is wrong, help included, is the root's matter.
    private static func command(of arguments: [String]) throws -> any ParsableCommand {
        if let (verb, rest) = Spelling.verb(arguments), let command = try? verb.parse(rest) { return command }
        return try UrsaCommand.parseAsRoot(arguments)
    }

    /// A verb on image files. It needs neither the parser nor a home.
    private static func run(_ image: ImageCall) -> Int32 {
        ImageProgress.expectSignal()
        do throws(UrsaError) { try Signals.handle() } catch {
            Screen.fail(error)
            return 1
        }
        return finish(ImageTool.run(image))
    }

    /// Puts /dev/null where a standard descriptor is closed: else the next file that is opened would stand there, and our
    /// messages would be written into it.
    private static func fillStandardDescriptors() {
        for descriptor: Int32 in 0...2 where fcntl(descriptor, F_GETFD) < 0 { _ = open("/dev/null", O_RDWR) }
    }

    /// Whether errors are to be told as JSON, known before anything is parsed.
    static func wantsJSON(_ arguments: [String]) -> Bool { arguments.prefix { $0 != "--" }.contains("--json") }

    /// Help and version are "errors" of the parser with status 0; its real ones become ours, in our form.
    private static func report(parserError error: any Error, arguments: [String]) -> Int32 {
        let code = UrsaCommand.exitCode(for: error)
        guard code.isSuccess else {
            let usage = Spelling.usageError(UrsaCommand.message(for: error), arguments: arguments)
            Screen.fail(usage)
            return usage.code.exitStatus
        }
        let text = UrsaCommand.fullMessage(for: error)
        Screen.write(text.hasSuffix("\n") || text.isEmpty ? text : text + "\n")
        return finish(0)
    }

    /// A standard output that took not all (a full disk) turns success into failure; a reader that left does not.
    private static func finish(_ status: Int32) -> Int32 {
        Screen.clearProgress()
        guard let error = Screen.outputError else { return status }
        Screen.fail(error)
        return 1
    }
}
