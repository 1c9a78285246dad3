import Glibc
import UrsaBase
import UrsaDisk

/// `ursa image snapshot`
enum SnapshotImage: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "snapshot", abstract: "List, make, go back to or delete snapshots inside of an image.", operands: "FILE",
        options: [
            .flag("l", "List them (what is done when nothing else is asked)"), .option("c", "NAME", "Make one"),
            .option("a", "NAME", "Go back to one, named by name or ID"), .option("d", "NAME", "Delete one"),
            .format("Format of FILE; snapshots are qcow2's"), .quiet, .share, .json, .imageOptions, .object,
        ],
        discussion: """
            Examples:
              {} snapshot -c before-upgrade disk.qcow2
              {} snapshot -l disk.qcow2
              {} snapshot -a before-upgrade disk.qcow2
            """)

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let file = try words.operands("FILE")[0]
        let actions = ["l", "c", "a", "d"].filter { words.has($0) }
        guard actions.count <= 1, words.all("c").count <= 1, words.all("a").count <= 1, words.all("d").count <= 1 else {
            throw words.wrong("one of -l, -a, -c and -d at a time")
        }
        let door = ImageDoor(words)
        guard let action = actions.first, action != "l" else {
            if try ImageDoor.mustTake(words, read: [(file, words.value("f"))]) { return try QEMUImage.handOn(call) }
            let image = try door.alone(file, format: words.value("f"))
            let list = try (image as? Qcow2Image)?.snapshots() ?? []
            if Screen.isJSON { Screen.json(.array(list.map(json))) } else if !list.isEmpty { Screen.write(text(list)) }
            return 0
        }
        if try ImageDoor.mustTake(words, written: (file, words.value("f"))) { return try QEMUImage.handOn(call) }
        let image = try door.qcow2Alone(file, format: words.value("f"))
        let name = words.value(action) ?? ""
        let changed: Qcow2Snapshot
        switch action {
        case "c":
            guard !name.isEmpty else { throw words.wrong("a snapshot needs a name") }
            changed = try image.createSnapshot(name: name)
        case "a":
            changed = try SnapshotName(name, words).find(image.snapshots(), in: file)
            try image.applySnapshot(changed.id)
        default:
            changed = try SnapshotName(name, words).find(image.snapshots(), in: file)
            try image.deleteSnapshot(changed.id)
        }
        try image.flush()
        try image.close()
        if Screen.isJSON { Screen.json(json(changed)) }
        return 0
    }

    /// The list as `qemu-img` prints it.
    static func text(_ snapshots: [Qcow2Snapshot]) -> String {
        var text = "Snapshot list:\n"
        text +=
            "ID".padded(9) + " " + "TAG".padded(16) + " " + ImageText.right("VM SIZE", 8) + ImageText.right("DATE", 20)
        text += ImageText.right("VM CLOCK", 13) + ImageText.right("ICOUNT", 11) + "\n"
        for snapshot in snapshots {
            text += printable(snapshot.id).padded(9) + " " + printable(snapshot.name).padded(16) + " "
            text += ImageText.right(ImageText.size(snapshot.machineStateSize), 8)
            text += ImageText.right(ImageText.date(UInt64(snapshot.seconds)), 20)
            text += ImageText.right(ImageText.clock(snapshot.guestClock), 13)
            text += ImageText.right(instructions(snapshot).map { "\($0)" } ?? "", 11) + "\n"
        }
        return text
    }

    /// How many instructions the guest had executed, where anybody counted.
    private static func instructions(_ snapshot: Qcow2Snapshot) -> UInt64? {
        snapshot.instructionCount == .max ? nil : snapshot.instructionCount
    }

    /// A snapshot as `info` tells it.
    static func json(_ snapshot: Qcow2Snapshot) -> JSON {
        .record([
            "icount": instructions(snapshot).map { .integer(Int64(clamping: $0)) },
            "vm-clock-nsec": .integer(Int64(snapshot.guestClock % 1_000_000_000)), "name": .string(snapshot.name),
            "date-sec": .integer(Int64(snapshot.seconds)), "date-nsec": .integer(Int64(snapshot.nanoseconds)),
            "vm-clock-sec": .integer(Int64(snapshot.guestClock / 1_000_000_000)), "id": .string(snapshot.id),
            "vm-state-size": .integer(Int64(clamping: snapshot.machineStateSize)),
        ])
    }
}
