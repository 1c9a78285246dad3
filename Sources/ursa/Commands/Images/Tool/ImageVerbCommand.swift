import ArgumentParser
import UrsaBase

/// A verb on image files in the tree of commands: for lists, `ursa help`, completion and man pages. A call of it never
/// comes here, since `ImageTool` takes it before.
struct ImageVerbCommand<V: ImageVerb>: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: V.syntax.verb, abstract: V.syntax.abstract,
            discussion: V.syntax.text(caller: "ursa image") + "\n\nOptions:\n" + V.syntax.optionLines)
    }

    @Argument(
        parsing: .captureForPassthrough, help: ArgumentHelp("Options and files.", valueName: "word"),
        completion: .file())
    var words: [String] = []

    func run() throws {
        throw ExitCode(ImageTool.run(ImageCall(words: [V.syntax.verb] + words, caller: "ursa image")))
    }
}
