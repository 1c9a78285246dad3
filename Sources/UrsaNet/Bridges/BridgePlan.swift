import UrsaBase

/// Bridges to LANs: from what should be and what is to the steps between.
extension NetworkPlan {
    var bridgeSteps: [any NetStep] {
        var steps: [any NetStep] = []
        for (network, bridge) in seen.bridges.bridges.sorted(by: { $0.key < $1.key }) {
            let wanted = wish.bridges.first { $0.name == network && $0.interface != nil }
            // Another interface than before: back with the old one first.
            let isSame = bridge.journal.map { $0.interface == wanted?.interface } ?? (wanted != nil)
            if !isSame { steps.append(ReturnInterface(home: home, network: network, bridge: bridge)) }
        }
        for wish in wish.bridges.sorted(by: { $0.name < $1.name }) { steps += bridgeSteps(wish) }
        return steps
    }

    private func bridgeSteps(_ wish: BridgeWish) -> [any NetStep] {
        guard let interface = wish.interface else {
            return joinProblem(wish).map { [Refusal(error: $0)] } ?? []
        }
        let now = seen.bridges.bridges[wish.name]
        let isMine = now?.journal.map { $0.interface == interface } ?? false
        let lost = isMine ? lostFacts(wish, interface, now) : []
        if isMine, lost.isEmpty { return [] }
        if let error = interfaceProblem(wish, interface, isMine: isMine) { return [Refusal(error: error)] }
        return [
            BridgeInterface(
                home: home, wish: wish, interface: interface,
                mtu: wish.mtu.map { UInt32(clamping: $0) } ?? seen.bridges.links[interface]?.mtu ?? 1500,
                broken: isMine ? lost : nil)
        ]
    }

    /// What of a bridge that was made is not so any more.
    private func lostFacts(_ wish: BridgeWish, _ interface: String, _ now: BridgesSeen.Bridge?) -> [String] {
        var lost: [String] = []
        let name = home.bridgeName(wish.name)
        guard let port = seen.bridges.links[interface] else {
            // Unplugged: what it had is kept on the bridge until it comes back.
            return now?.link == nil ? ["\(name) is gone"] : []
        }
        guard let link = now?.link else { return ["\(name) is gone"] }
        if now?.journal?.isMoved != true { lost.append("it was not finished") }
        if !link.isUp { lost.append("\(name) is down") }
        if let mtu = wish.mtu, link.mtu != UInt32(clamping: mtu) { lost.append("its MTU is \(link.mtu)") }
        if port.master != link.index { lost.append("\(interface) is not a port") }
        if !port.isUp { lost.append("\(interface) is down") }
        if seen.bridges.addressed.contains(interface) { lost.append("\(interface) has addresses of its own again") }
        for tap in seen.bridges.links.values.sorted(by: { $0.name < $1.name })
        where home.bridgedNetwork(alias: tap.alias) == wish.name && tap.kind != "bridge" {
            if tap.master != link.index || !tap.isUp { lost.append("\(tap.name) is not attached") }
        }
        return lost
    }

    /// Why an interface can't become a port.
    private func interfaceProblem(_ wish: BridgeWish, _ interface: String, isMine: Bool) -> UrsaError? {
        func refusal(_ code: UrsaError.Code, _ message: String, _ remedy: String?) -> UrsaError {
            UrsaError(code, message, place: "network \(wish.name)", remedy: remedy)
        }
        let name = home.bridgeName(wish.name)
        if let there = seen.bridges.links[name], home.bridgedNetwork(alias: there.alias) != wish.name {
            return refusal(
                .conflict, "the link \(name) is there already and is not Ursa's",
                "remove it, or give the network another name")
        }
        guard let link = seen.bridges.links[interface] else {
            let names = seen.lans.interfaces.keys.sorted().joined(separator: ", ")
            return refusal(
                .notFound, "the host has no interface \(interface)", names.isEmpty ? nil : "its interfaces: \(names)")
        }
        if seen.bridges.wireless.contains(interface) {
            return refusal(
                .unsupported,
                "\(interface) is a Wi-Fi interface: access points drop the frames of every Ethernet address but the "
                    + "interface's own, so it can't be a port of a bridge",
                "use `lan: {interface: \(interface)}`, or add `fallback: lan`")
        }
        if link.kind == "bridge" {
            return refusal(.invalidSpec, "\(interface) is a bridge itself", "say `bridged: {bridge: \(interface)}`")
        }
        if link.mac.count != 6 || interface == "lo" {
            return refusal(
                .unsupported, "\(interface) carries no Ethernet frames, so it can't be a port of a bridge",
                "use `lan` or `nat`")
        }
        if let master = link.master, master != seen.bridges.bridges[wish.name]?.link?.index {
            let owner = seen.bridges.links.values.first { $0.index == master }
            return refusal(
                .conflict, "\(interface) is a port of \(owner?.name ?? "another link") already",
                owner?.kind == "bridge"
                    ? "say `bridged: {bridge: \(owner?.name ?? "")}` to join that bridge"
                    : "name \(owner?.name ?? "that link") instead")
        }
        if let other = wishOfInterface(interface, besides: wish.name) {
            return refusal(
                .conflict, "\(interface) can't be a port for both networks \(other) and \(wish.name)",
                "put the machines on one of them")
        }
        return nil
    }

    private func wishOfInterface(_ interface: String, besides name: String) -> String? {
        wish.bridges.first { $0.interface == interface && $0.name < name }?.name
    }

    /// Why machines can't join a bridge of somebody else's.
    private func joinProblem(_ wish: BridgeWish) -> UrsaError? {
        guard let bridge = wish.bridge else {
            return UrsaError(
                .invalidSpec, "a bridged network names neither an interface nor a bridge",
                place: "network \(wish.name)", remedy: "say `bridged: {interface: eth0}`")
        }
        // One that went away while machines are on it is no reason to leave everything else unmended.
        guard let link = seen.bridges.links[bridge] else {
            return UrsaError(
                .notFound, "the host has no bridge \(bridge)", place: "network \(wish.name)",
                remedy: "make it, or say `bridged: {interface: …}` to have one made")
        }
        guard link.kind == "bridge" else {
            return UrsaError(
                .invalidSpec, "\(bridge) is no bridge of the kernel", place: "network \(wish.name)",
                remedy: link.kind == nil ? "say `bridged: {interface: \(bridge)}` to have a bridge made over it" : nil)
        }
        return nil
    }
}
