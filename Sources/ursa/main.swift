import Glibc

exit(
    CommandLineProgram.run(
        program: CommandLine.arguments.first ?? "ursa", arguments: Array(CommandLine.arguments.dropFirst())))
