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

extension Set<UInt8> {
    fileprivate var words: String { sorted().map(String.init).joined(separator: ", ") }
}
