import ArgumentParser

/// `ursa net`
struct NetworkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "net", abstract: "Look at networks, ask about packets, change and test networks.",
        discussion: """
            Networks come up with their first machine and go with the last.

            Examples:
              ursa net ls
              ursa net map --svg map.svg
              ursa net trace web db:5432
            """,
        subcommands: [
            ListNetworks.self, InspectNetwork.self, MapNetworks.self, ApplyNetworks.self, ConfirmNetworks.self,
            TracePacket.self, TestNetworks.self, DiagnoseNetworks.self, CaptureFrames.self, ImpairNetwork.self,
        ], aliases: ["network"])
}
