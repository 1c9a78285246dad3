import UrsaBase
import UrsaDisk

/// The snapshot that a command line means: `NAME`, `ID`, or `snapshot.id=ID,snapshot.name=NAME`.
struct SnapshotName {
    private var identifier: String?
    private var name: String?
    private var either: String?

    init(_ text: String, _ words: ImageWords) throws(UrsaError) {
        guard text.hasPrefix("snapshot.") else {
            either = text
            return
        }
        for (key, value) in try KeyValues([text], words).pairs {
            switch key {
            case "snapshot.id": identifier = value
            case "snapshot.name": name = value
            default:
                throw words.wrong(
                    "'\(printable(key))' says nothing of a snapshot", "write snapshot.id= or snapshot.name=")
            }
        }
    }

    /// The first snapshot that it fits; of a word alone, an ID before a name, as qemu-img looks for it.
    func find(_ snapshots: [Qcow2Snapshot], in image: String) throws(UrsaError) -> Qcow2Snapshot {
        if let either {
            if let found = snapshots.first(where: { $0.id == either }) ?? snapshots.first(where: { $0.name == either })
            {
                return found
            }
        } else if let found = snapshots.first(where: {
            (identifier == nil || $0.id == identifier) && (name == nil || $0.name == name)
        }) {
            return found
        }
        throw UrsaError(
            .notFound, "there is no snapshot '\(either ?? name ?? identifier ?? "")'", place: image,
            remedy: "`ursa image snapshot -l` lists them")
    }
}
