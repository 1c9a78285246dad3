import UrsaBase

/// dnsmasq, started or started again.
struct StartDnsmasq: NetStep {
    let home: HomeMark
    let wish: NetworkWish
    let configuration: DnsmasqConfiguration
    /// Why one that should run is started again; nil for the first start.
    let reason: String?
    let phase = Phase.make
    var network: String? { wish.name }

    var line: String {
        let machines = wish.members.count == 1 ? "1 machine" : "\(wish.members.count) machines"
        return "\(reason == nil ? "+" : "~") dnsmasq for \(wish.name), \(machines)\(reason.map { ": \($0)" } ?? "")"
    }

    func apply() throws(UrsaError) {
        try DnsmasqProcess(folder: home.folder(network: wish.name)).start(
            configuration, namespace: wish.isOnHost ? nil : home.namespace(wish.name))
    }

    func undo() throws(UrsaError) {
        guard reason == nil else { return }
        try DnsmasqProcess(folder: home.folder(network: wish.name)).stop()
    }
}

/// Reservations and names of a running dnsmasq.
struct UpdateMachines: NetStep {
    let home: HomeMark
    let wish: NetworkWish
    let configuration: DnsmasqConfiguration
    let previous: DnsmasqConfiguration.Machines
    let phase = Phase.make
    var network: String? { wish.name }

    var line: String {
        let old = Set(previous.leases.keys).union(previous.names.keys)
        let new = Set(configuration.leases.keys)
        let changed = new.intersection(old).filter {
            previous.leases[$0] != configuration.leases[$0] || previous.names[$0] != configuration.names[$0]
        }
        let words =
            new.subtracting(old).sorted().map { "+ \($0)" } + old.subtracting(new).sorted().map { "- \($0)" }
            + changed.sorted().map { "~ \($0)" }
        return "~ leases and names of \(wish.name): \(words.joined(separator: ", "))"
    }

    func apply() throws(UrsaError) {
        try DnsmasqProcess(folder: home.folder(network: wish.name)).updateMachines(configuration.machines)
    }

    func undo() throws(UrsaError) {
        try DnsmasqProcess(folder: home.folder(network: wish.name)).updateMachines(previous)
    }
}
