import Glibc
import UrsaBase

/// The settings of the host itself that networks need: forwarding.
enum HostSettings {
    /// What must change, with the values found. Empty when forwarding is on.
    static func changesNeeded() -> [SettingChange] {
        var changes: [SettingChange] = []
        func want(_ name: String, _ value: String, unless: String? = nil) {
            if let old = Sysctl.read(name), old != value, old != unless {
                changes.append(SettingChange(name: name, old: old, new: value))
            }
        }
        if Sysctl.read("ipv4/ip_forward") == "0" {
            changes += individual("ipv4/conf")
            want("ipv4/ip_forward", "1")
        }
        if Sysctl.read("ipv6/conf/all/forwarding") == "0" {
            // A forwarding host ignores router advertisements and loses its own default route, unless accept_ra is 2.
            for link in File.list("/proc/sys/net/ipv6/conf") where link != "all" {
                let name = "ipv6/conf/\(link)/accept_ra"
                if Sysctl.read(name) == "1" { changes.append(SettingChange(name: name, old: "1", new: "2")) }
            }
            changes += individual("ipv6/conf")
            want("ipv6/conf/all/forwarding", "1")
        }
        return changes
    }

    /// Whether a setting is one of those about forwarding.
    static func isForwarding(_ name: String) -> Bool {
        name.hasSuffix("/forwarding") || name.hasSuffix("/ip_forward") || name.hasSuffix("/accept_ra")
    }

    /// Links that forward already: turning the whole off later would turn them off too, so they are noted.
    private static func individual(_ folder: String) -> [SettingChange] {
        File.list("/proc/sys/net/\(folder)").compactMap { link in
            let name = "\(folder)/\(link)/forwarding"
            guard link != "all", Sysctl.read(name) == "1" else { return nil }
            return SettingChange(name: name, old: "1", new: "1")
        }
    }
}

/// What was changed of the host's settings, in a file of the home that outlives crashes. Written before the change.
struct SettingsJournal: Sendable {
    private let path: String

    init(_ home: HomeMark) { path = home.folder + "/network-settings.json" }

    /// The changes noted, oldest first. Notes of an earlier boot count for nothing: the kernel has forgotten them too.
    var changes: [SettingChange] {
        guard let bytes = try? File.read(path, limit: 1 << 20), let json = try? JSON.parse(bytes),
            json["boot"]?.string == bootIdentifier()
        else { return [] }
        return (json["changes"]?.array ?? []).compactMap { entry in
            guard let name = entry["name"]?.string, let old = entry["old"]?.string, let new = entry["new"]?.string,
                !name.contains("..")
            else { return nil }
            return SettingChange(name: name, old: old, new: new)
        }
    }

    /// Adds changes; one that is noted already keeps its first old value.
    func add(_ more: [SettingChange]) throws(UrsaError) {
        try edit { all in
            for change in more where !all.contains(where: { $0.name == change.name }) { all.append(change) }
        }
    }

    /// Forgets changes that were taken back.
    func forget(_ undone: [SettingChange]) throws(UrsaError) { try edit { $0.removeAll { undone.contains($0) } } }

    // Several steps of one process may have something to note at the same time.
    private static let turn = Locked<Void>(())

    private func edit(_ body: (inout [SettingChange]) -> Void) throws(UrsaError) {
        let result = Self.turn.withLock { _ -> Result<Void, UrsaError> in
            var all = changes
            body(&all)
            do throws(UrsaError) { return .success(try write(all)) } catch { return .failure(error) }
        }
        try result.get()
    }

    private func write(_ all: [SettingChange]) throws(UrsaError) {
        guard !all.isEmpty else { return try remove() }
        let entries = all.map {
            JSON.record(["name": .string($0.name), "old": .string($0.old), "new": .string($0.new)])
        }
        try File.replace(path, JSON.record(["boot": .string(bootIdentifier()), "changes": .array(entries)]).line)
    }

    private func remove() throws(UrsaError) { try File.remove(path) }

    /// Puts back the old values, latest change first, where the present value is still the one that was set.
    static func restore(_ changes: [SettingChange]) {
        // The switch for all links first: it rewrites each link's own.
        for change in changes.reversed() where change.old != change.new && Sysctl.read(change.name) == change.new {
            // A link may be gone by now; its setting went with it.
            try? Sysctl.set(change.name, change.old)
        }
        for change in changes where change.old == change.new { try? Sysctl.set(change.name, change.old) }
    }
}

/// Changes settings of the host that networks need: forwarding, answers for others.
struct ChangeSettings: NetStep {
    let home: HomeMark
    let changes: [SettingChange]
    let phase = Phase.make
    let network: String? = nil
    let lane = "settings"

    var line: String {
        let shown = changes.filter { $0.old != $0.new }.map { "net/\($0.name) \($0.old) → \($0.new)" }
        return "~ settings of the host: \(shown.joined(separator: ", "))"
    }

    func apply() throws(UrsaError) {
        try File.makeDirectory(home.folder)
        try SettingsJournal(home).add(changes)
        for change in changes where change.old != change.new { try Sysctl.set(change.name, change.new) }
    }

    func undo() throws(UrsaError) {
        SettingsJournal.restore(changes)
        try SettingsJournal(home).forget(changes)
    }
}

/// Puts the host's settings back, beside the removal of the last network: afterwards the kernel is busy with taking
/// namespaces apart, and lets nobody write network settings for a while.
struct PutSettingsBack: NetStep {
    let home: HomeMark
    let changes: [SettingChange]
    let phase = Phase.remove
    let network: String? = nil
    let lane = "settings"

    var line: String {
        let shown = changes.filter { $0.old != $0.new }.map { "net/\($0.name) \($0.new) → \($0.old)" }
        return "~ settings of the host: \(shown.joined(separator: ", "))"
    }

    func apply() throws(UrsaError) {
        SettingsJournal.restore(changes)
        try SettingsJournal(home).forget(changes)
    }

    func undo() throws(UrsaError) {}
}
