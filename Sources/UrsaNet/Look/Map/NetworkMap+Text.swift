import UrsaBase
import UrsaFirewall

extension NetworkMap {
    /// The map as a tree of lines for a terminal.
    ///
    /// - Parameter width: columns of the terminal; longer lines end in `…`. Nil cuts nothing.
    public func text(width: Int?) -> String {
        var root = Branch("host \(host)" + (isForwarding ? ", forwards packets" : ", does not forward packets"))
        for link in links {
            var branch = Branch(link.line)
            branch.twigs = gateways.filter { $0.interface == link.name }.map { Branch($0.line) }
            root.twigs.append(branch)
        }
        for network in networks { root.twigs.append(tree(network)) }
        var lines = root.lines
        if !policies.isEmpty {
            lines.append("policies")
            lines += policies.map { "  \($0.from) → \($0.to): \($0.action.rawValue)" }
        }
        lines += notes.map { "note: \($0)" }
        if let width, width > 1 {
            lines = lines.map { $0.count > width ? $0.prefix(width - 1) + "…" : $0 }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func tree(_ network: Network) -> Branch {
        let words: [String?] =
            [network.model, network.zone.map { "zone \($0)" }] + network.subnets.map { $0 }
            + [network.way, network.isUp ? nil : "down"]
        var branch = Branch("▪ \(network.name)  " + words.compactMap { $0 }.joined(separator: ", "))
        if let bridge = network.bridge {
            let place: [String?] = [
                bridge, network.router.map { "router \($0)" }, (network.interface ?? network.stem).map { "by \($0)" },
            ]
            branch.twigs.append(Branch(place.compactMap { $0 }.joined(separator: ", ")))
        }
        if let trouble = network.trouble { branch.twigs.append(Branch("! \(trouble)")) }
        if let impairment = network.impairment { branch.twigs.append(Branch("impaired: \(impairment)")) }
        for machine in machines {
            for card in machine.cards where card.network == network.name {
                branch.twigs.append(tree(machine, card))
            }
        }
        return branch
    }

    private func tree(_ machine: Machine, _ card: Card) -> Branch {
        var words = card.addresses.map(\.description)
        if let mac = card.mac { words.append("\(mac)") }
        if let tap = card.tap { words.append(tap) }
        if let zone = machine.zone { words.append("zone \(zone)") }
        if !machine.isRunning { words.append(machine.state) }
        if let impairment = card.impairment { words.append("impaired: \(impairment)") }
        let isFirst = machine.cards.first?.network == card.network
        var branch = Branch("\(machine.isRunning ? "●" : "○") \(machine.name)  \(words.joined(separator: "  "))")
        if isFirst { branch.twigs = machine.ports.map { Branch("⇢ \($0)") } }
        return branch
    }
}

extension NetworkMap.Gateway {
    fileprivate var line: String {
        let routers = addresses.map(\.description).joined(separator: ", ")
        let words: [String?] = [uplink, routers, role, zone.map { "zone \($0)" }]
        let told = words.compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: "  ")
        return "↑ \(told)\(isHealthy ? "" : "  CHECK FAILS")"
    }
}

extension NetworkMap.Interface {
    fileprivate var line: String {
        let words = [kind, master.map { "port of \($0)" }, isUp ? nil : "off"].compactMap { $0 }
        let places = addresses.map(\.description) + (mac.map { ["\($0)"] } ?? [])
        return ([name] + words + places).joined(separator: "  ")
    }
}

/// A line with those that hang on it.
private struct Branch {
    var line: String
    var twigs: [Branch] = []

    init(_ line: String) { self.line = line }

    var lines: [String] {
        var result = [line]
        for (index, twig) in twigs.enumerated() {
            let isLast = index == twigs.count - 1
            for (number, line) in twig.lines.enumerated() {
                result.append((number == 0 ? (isLast ? "└─ " : "├─ ") : (isLast ? "   " : "│  ")) + line)
            }
        }
        return result
    }
}
