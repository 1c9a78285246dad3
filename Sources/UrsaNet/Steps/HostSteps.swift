import UrsaBase

/// Loads the host's table.
struct LoadTable: NetStep {
    let home: HomeMark
    let ruleset: Ruleset
    let networks: Int
    let ports: Int
    /// Why a table that was there is loaded again; nil for the first.
    let reason: String?
    /// The text loaded before, for undoing.
    let previous: String?
    let phase = Phase.make
    let network: String? = nil

    var line: String {
        func count(_ number: Int, _ what: String) -> String { "\(number) \(what)\(number == 1 ? "" : "s")" }
        let what = "table inet \(ruleset.table): \(count(networks, "network")), \(count(ports, "published port"))"
        return reason.map { "~ \(what) (\($0))" } ?? "+ \(what)"
    }

    func apply() throws(UrsaError) {
        if try FirewallTable.look(ruleset.table) == nil {
            try FirewallTable.load(ruleset.firstText)
        } else {
            try FirewallTable.replace(by: ruleset)
        }
        try File.makeDirectory(home.runFolder)
        try RunFile.replace(home.tableFile, text: ruleset.text)
    }

    func undo() throws(UrsaError) {
        guard let previous, reason != nil else {
            try FirewallTable.load(Ruleset.removal(home))
            return try File.remove(home.tableFile)
        }
        try FirewallTable.load(previous)
        try RunFile.replace(home.tableFile, text: previous)
    }
}

/// Changes elements of the host's table: ports, addresses and links that come and go.
struct ChangeElements: NetStep {
    let home: HomeMark
    let ruleset: Ruleset
    let change: ElementChange
    /// The text of the whole table before.
    let previous: String
    let phase = Phase.make
    let network: String? = nil

    var line: String {
        "~ table inet \(ruleset.table): \(change.count == 1 ? "1 element" : "\(change.count) elements")"
    }

    func apply() throws(UrsaError) {
        if let transaction = change.transaction {
            try transaction.commit()
        } else {
            try FirewallTable.load(change.text)
        }
        try RunFile.replace(home.tableFile, text: ruleset.text(stamp: change.stamp))
    }

    func undo() throws(UrsaError) {
        try FirewallTable.load(previous)
        try RunFile.replace(home.tableFile, text: previous)
    }
}

/// Removes the host's table, beside the networks: once the kernel takes namespaces apart, everything else waits for it.
struct RemoveTable: NetStep {
    let home: HomeMark
    let phase = Phase.remove
    let network: String? = nil
    var line: String { "- table inet \(home.tableName)" }

    func apply() throws(UrsaError) {
        try FirewallTable.load(Ruleset.removal(home))
        try File.remove(home.tableFile)
    }

    func undo() throws(UrsaError) {}
}

/// Writes, changes or removes the home's block of the names file.
struct WriteHostsBlock: NetStep {
    let home: HomeMark
    let block: [String]
    let previous: [String]
    let phase = Phase.make
    let network: String? = nil
    let lane = "names"

    var line: String {
        let sign = previous.isEmpty ? "+" : block.isEmpty ? "-" : "~"
        let count = block.isEmpty ? previous.count : block.count
        return "\(sign) \(home.hostsFile): \(count == 1 ? "1 line" : "\(count) lines") of machine names"
    }

    func apply() throws(UrsaError) { try write(block) }
    func undo() throws(UrsaError) { try write(previous) }

    private func write(_ block: [String]) throws(UrsaError) {
        // Read again: somebody may have edited the file since it was looked at.
        let text = File.exists(home.hostsFile) ? try File.read(home.hostsFile) : []
        let new = HostsFile.text(HostsFile.split(text, home), block: block, home)
        if new != text { try HostsFile.write(home.hostsFile, new) }
    }
}
