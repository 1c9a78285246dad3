import Glibc
import UrsaVMM

exit(MonitorProgram.run(Array(CommandLine.arguments.dropFirst())))
