import UrsaBase
import UrsaModel

/// What a spec asks for, against what the store has and what runs: values in, values out.
struct Difference: Sendable {
    /// A machine that runs with other settings than the file has.
    struct Change: Sendable {
        /// The settings wanted.
        let spec: MachineSpec
        /// Those that it can have while it runs: the old ones with what needs no restart taken over.
        let live: MachineSpec
        /// What differs, in words.
        let words: [String]
        var needsRestart: Bool { live != spec }
    }

    /// Images that must be built or pulled first.
    var images: [String] = []
    /// Networks that are new or have other settings.
    var networks: [NetworkSpec] = []
    /// Networks that the project no longer asks for.
    var networksToRemove: [String] = []
    /// Machines to make and start.
    var create: [MachineSpec] = []
    /// Machines that exist and are to be started, with their wanted settings.
    var start: [MachineSpec] = []
    /// Machines that run and whose settings differ.
    var changed: [Change] = []
    /// Machines of the project that the file no longer has.
    var gone: [String] = []

    var isEmpty: Bool {
        images.isEmpty && networks.isEmpty && networksToRemove.isEmpty && create.isEmpty && start.isEmpty
            && changed.isEmpty
            && gone.isEmpty
    }

    /// - Parameters:
    ///   - running: names of machines whose engine runs.
    ///   - stored: names of images in the store.
    /// - Throws: every conflict at once.
    init(
        _ spec: Spec, project: String, machines: [MachineRecord], networks records: [NetworkRecord],
        running: Set<String>, stored: Set<String>
    ) throws(UrsaError) {
        var errors: [UrsaError] = []
        let byName = Dictionary(machines.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let used = Set(spec.machines.flatMap { $0.networks.map(\.network) })
        for network in spec.networks {
            let record = records.first { $0.spec.name == network.name }
            let isNew = record?.spec != network || (network.start == .always && record?.wanted != true)
            if isNew,
                record == nil || used.contains(network.name) || network.start == .always || record?.spec != network
            {
                networks.append(network)
            }
        }
        for record in records
        where record.project == project && !spec.networks.contains(where: { $0.name == record.spec.name }) {
            networksToRemove.append(record.spec.name)
        }
        for machine in spec.machines {
            if !machine.imageIsFile, !stored.contains(machine.image),
                !images.contains(machine.image), byName[machine.name] == nil
            {
                images.append(machine.image)
            }
            guard let record = byName[machine.name], record.phase == .ready else {
                create.append(machine)
                continue
            }
            guard record.project == project else {
                errors.append(
                    UrsaError(
                        .conflict, "machine \(machine.name) exists already",
                        place: record.project.map { "made by \($0)" } ?? "made by `ursa run`",
                        remedy: "give this machine another name, or `ursa rm \(machine.name)`"))
                continue
            }
            if record.spec.image != machine.image {
                errors.append(
                    UrsaError(
                        .conflict,
                        "machine \(machine.name) was made from image \(record.spec.image), the spec says \(machine.image)",
                        place: project,
                        remedy:
                            "`ursa rm \(machine.name)` deletes the machine with its disk; `ursa up` then makes it anew")
                )
                continue
            }
            if running.contains(machine.name) {
                let words = Difference.words(record.spec, machine)
                if !words.isEmpty {
                    changed.append(Change(spec: machine, live: Difference.live(record, machine), words: words))
                }
            } else {
                start.append(machine)
            }
        }
        for record in machines
        where record.project == project && !spec.machines.contains(where: { $0.name == record.name })
            && running.contains(record.name)
        {
            gone.append(record.name)
        }
        if let error = UrsaError.all(errors) { throw error }
    }

    /// The settings that can change while the machine runs, taken over into the old spec.
    private static func live(_ record: MachineRecord, _ new: MachineSpec) -> MachineSpec {
        var result = record.spec
        // Ports of a machine with user networking are on its engine's command line.
        if record.cards.contains(where: { $0.address != nil }) { result.publish = new.publish }
        result.readyPort = new.readyPort
        result.stopTimeout = new.stopTimeout
        return result
    }

    /// What differs between two specs of a machine, in words: `memory 512M → 1G`.
    static func words(_ old: MachineSpec, _ new: MachineSpec) -> [String] {
        let before = old.json.members ?? []
        let after = new.json
        var result: [String] = []
        for member in after.members ?? [] {
            let was = before.first { $0.name == member.name }?.value
            if was != member.value { result.append("\(member.name) \(plain(was)) → \(plain(member.value))") }
        }
        for member in before where after[member.name] == nil {
            result.append("\(member.name) \(plain(member.value)) → none")
        }
        return result
    }

    private static func plain(_ json: JSON?) -> String {
        switch json {
        case nil, .null: "none"
        case .string(let text): text
        case .array(let values): values.isEmpty ? "none" : values.map(plain).joined(separator: ", ")
        case let value?: value.text
        }
    }
}
