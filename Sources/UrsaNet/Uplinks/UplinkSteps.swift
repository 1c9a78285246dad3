import UrsaBase

/// Notes whose the routes and rules are, before they are made and after they are gone.
struct NoteUplinks: NetStep {
    let home: HomeMark
    let numbers: Set<UInt8>
    let previous: Set<UInt8>
    let phase = Phase.make
    let network: String? = nil
    var line: String {
        let sign = numbers.isEmpty ? "-" : previous.isEmpty ? "+" : "~"
        return "\(sign) numbers of uplinks: \(numbers.isEmpty ? previous.words : numbers.words)"
    }
    func apply() throws(UrsaError) { try UplinkNotes(home).write(numbers) }
    func undo() throws(UrsaError) { try UplinkNotes(home).write(previous) }
}

/// A default route of an uplink's table.
struct AddTableRoute: NetStep {
    let route: TableRoute
    let replaced: TableRoute?
    let uplink: String?
    let phase = Phase.make
    let network: String? = nil
    var line: String { "\(replaced == nil ? "+" : "~") \(route.words)\(uplink.map { " (uplink \($0))" } ?? "")" }
    func apply() throws(UrsaError) { try NetlinkSocket().transact([route.addition]) }
    func undo() throws(UrsaError) { try NetlinkSocket().transact([replaced?.addition ?? route.removal]) }
}

/// Takes a route of an uplink away.
struct RemoveTableRoute: NetStep {
    let route: TableRoute
    let phase = Phase.make
    let network: String? = nil
    var line: String { "- \(route.words)" }
    func apply() throws(UrsaError) { try NetlinkSocket().transact([route.removal]) }
    func undo() throws(UrsaError) { try NetlinkSocket().transact([route.addition]) }
}

/// A rule that leads to a table.
struct AddRule: NetStep {
    let rule: RoutingRule
    let uplink: String?
    let phase = Phase.make
    let network: String? = nil
    var line: String { "+ \(rule.words)\(uplink.map { " (uplink \($0))" } ?? "")" }
    func apply() throws(UrsaError) { try NetlinkSocket().transact([rule.addition]) }
    func undo() throws(UrsaError) { try NetlinkSocket().transact([rule.removal]) }
}

/// Takes a rule away.
struct RemoveRule: NetStep {
    let rule: RoutingRule
    let phase = Phase.make
    let network: String? = nil
    var line: String { "- \(rule.words)" }
    func apply() throws(UrsaError) { try NetlinkSocket().transact([rule.removal]) }
    func undo() throws(UrsaError) { try NetlinkSocket().transact([rule.addition]) }
}

/// Lets packets in by an uplink whose sender the main table would answer another way (RFC 3704, "loose").
struct LoosenFilters: NetStep {
    let home: HomeMark
    let changes: [SettingChange]
    let phase = Phase.make
    let network: String? = nil
    var line: String { "~ settings of the host: \(changes.words)" }

    func apply() throws(UrsaError) {
        try File.makeDirectory(home.folder)
        try SettingsJournal(home).add(changes)
        for change in changes { try Sysctl.set(change.name, change.new) }
    }

    func undo() throws(UrsaError) {
        SettingsJournal.restore(changes)
        try SettingsJournal(home).forget(changes)
    }
}

/// Puts those settings back.
struct PutFiltersBack: NetStep {
    let home: HomeMark
    let changes: [SettingChange]
    let phase = Phase.make
    let network: String? = nil
    var line: String { "~ settings of the host: \(changes.map(\.inverse).words)" }

    func apply() throws(UrsaError) {
        SettingsJournal.restore(changes)
        try SettingsJournal(home).forget(changes)
    }

    func undo() throws(UrsaError) {}
}

extension SettingChange {
    fileprivate var inverse: SettingChange { SettingChange(name: name, old: new, new: old) }
}

extension [SettingChange] {
    fileprivate var words: String { map { "net/\($0.name) \($0.old) → \($0.new)" }.joined(separator: ", ") }
}

extension Set<UInt8> {
    fileprivate var words: String { sorted().map(String.init).joined(separator: ", ") }
}
