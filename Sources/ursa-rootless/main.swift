import Glibc
import UrsaRootless

// Holds an ordinary user's private host: see RootlessProgram. Started by `ursa`, not by people.
exit(RootlessProgram.run(Array(CommandLine.arguments.dropFirst())))
