import Glibc
import UrsaKeeper
import UrsaNetWatch

// Keeps one machine (KeeperProgram), or watches the host's networks (NetworkWatchProgram). Started by `ursa`, not by
// people.
let arguments = Array(CommandLine.arguments.dropFirst())
exit(NetworkWatchProgram.isMeant(arguments) ? NetworkWatchProgram.run(arguments) : KeeperProgram.run(arguments))
