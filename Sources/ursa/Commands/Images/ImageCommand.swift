import ArgumentParser

/// `ursa image`
struct ImageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image", abstract: "Images for machines, and all that can be done with disk images.",
        discussion: """
            Machines never write to an image of the store: each has a disk of its own on top. `ursa run` and `ursa up` \
            build or fetch what they need by themselves.

            The verbs on files take the options of qemu-img, and end with its statuses. They are also reachable as \
            `kvm-img`.

            Examples:
              ursa image ls
              ursa image create -f qcow2 disk.qcow2 20G
            """,
        groupedSubcommands: [
            CommandGroup(
                name: "Images in the store:",
                subcommands: [ListImages.self, BuildImage.self, PullImage.self, RemoveImages.self]),
            CommandGroup(
                name: "Disk images as files:",
                subcommands: [
                    ImageVerbCommand<CreateImage>.self, ImageVerbCommand<ImageInformation>.self,
                    ImageVerbCommand<ConvertImage>.self, ImageVerbCommand<CheckImage>.self,
                    ImageVerbCommand<SnapshotImage>.self, ImageVerbCommand<ResizeImage>.self,
                    ImageVerbCommand<CommitImage>.self, ImageVerbCommand<RebaseImage>.self,
                    ImageVerbCommand<CompareImages>.self, ImageVerbCommand<MapImage>.self,
                    ImageVerbCommand<MeasureImage>.self, ImageVerbCommand<DuplicateImage>.self,
                    ImageVerbCommand<BenchImage>.self,
                ]),
            CommandGroup(
                name: "Inside of disk images:", subcommands: [PrintInside.self, CopyInside.self, InspectInside.self]),
        ], aliases: ["images"])
}
