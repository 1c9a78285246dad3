import ArgumentParser

/// `ursa net`
struct NetworkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "net", abstract: "Look at networks.",
        discussion: """
            Networks come up with their first machine and go with the last.

            Example:
              ursa net ls
            """,
        subcommands: [
            ListNetworks.self, InspectNetwork.self, MapNetworks.self, CaptureFrames.self, ImpairNetwork.self,
        ], aliases: ["network"])
}
