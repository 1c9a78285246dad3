import Glibc
import UrsaKeeper

// Keeps one machine: see KeeperProgram. Started by `ursa`, not by people.
exit(KeeperProgram.run(Array(CommandLine.arguments.dropFirst())))
