import ArgumentParser

/// `ursa image`
struct ImageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image", abstract: "Build, fetch, list and delete images.",
        discussion: """
            Machines never write to an image: each has a disk of its own on top. `ursa run` and `ursa up` build or fetch \
            what they need by themselves.

            Example:
              ursa image ls
            """,
        subcommands: [ListImages.self, BuildImage.self, PullImage.self, RemoveImages.self], aliases: ["images"])
}
