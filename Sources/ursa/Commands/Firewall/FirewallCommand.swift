import ArgumentParser

/// `ursa firewall`
struct FirewallCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "firewall", abstract: "Check, try and apply zones, policies and rules.",
        discussion: """
            Example:
              ursa firewall check
            """,
        subcommands: [CheckFirewall.self, ApplyFirewall.self, TryFirewall.self])
}
