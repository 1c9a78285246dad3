import ArgumentParser

/// `ursa net`
struct NetworkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "net", abstract: "Look at networks, and change them.",
        discussion: """
            Networks come up with their first machine and go with the last.

            Example:
              ursa net ls
            """,
        subcommands: [
            ListNetworks.self, InspectNetwork.self, ApplyNetworks.self, ConfirmNetworks.self,
        ], aliases: ["network"])
}
