import UrsaBase

/// Routes, rules and settings of uplinks: what should be, what is, and the steps between.
///
/// Packets are asked for their way in this order, by priority: the main table without its default routes (what is
/// known to be near stays near), each uplink's table for packets with its mark, each uplink's table for packets from
/// its address, and last the main table as ever. The host's own default route is not touched.
struct UplinkPlan {
    /// Priorities of the rules; nothing outside this band is ever touched.
    static let nearPriority: UInt32 = 10000
    static let sourcePriority: UInt32 = 10300

    let home: HomeMark
    /// With what the host says of them.
    let uplinks: [UplinkWish]
    let seen: RoutingSeen
    let hasIPv6: Bool

    /// Rules that must be.
    var rules: Set<RoutingRule> {
        var result: Set<RoutingRule> = []
        for isIPv6 in families where !uplinks.isEmpty {
            result.insert(RoutingRule(isIPv6: isIPv6, priority: Self.nearPriority, table: 254, ignoredPrefix: 0))
            for uplink in uplinks {
                result.insert(
                    RoutingRule(
                        isIPv6: isIPv6, priority: Self.nearPriority + UInt32(uplink.number), table: uplink.table,
                        mark: uplink.mark, mask: UplinkWish.markMask))
            }
        }
        for uplink in uplinks {
            // An address that several uplinks use says nothing about the way.
            guard let address = uplink.found.address,
                !uplinks.contains(where: { $0.name != uplink.name && $0.found.address == address })
            else { continue }
            result.insert(
                RoutingRule(
                    isIPv6: false, priority: Self.sourcePriority + UInt32(uplink.number), table: uplink.table,
                    source: AddressPrefix(.v4(address))))
        }
        return result
    }

    /// Routes that must be.
    var routes: Set<TableRoute> {
        var result: Set<TableRoute> = []
        for uplink in uplinks {
            for isIPv6 in families { result.insert(TableRoute(refusalIn: uplink.table, isIPv6: isIPv6)) }
            guard let link = uplink.found.index, uplink.found.problem == nil else { continue }
            if let gateway = uplink.found.gateway {
                let source = uplink.found.address.map { IPAddress.v4($0) }
                result.insert(
                    TableRoute(table: uplink.table, router: .init(gateway: .v4(gateway), link: link, source: source)))
            }
            if let gateway = uplink.found.gateway6, hasIPv6 {
                result.insert(TableRoute(table: uplink.table, router: .init(gateway: .v6(gateway), link: link)))
            }
        }
        return result
    }

    private var families: [Bool] { hasIPv6 ? [false, true] : [false] }

    /// Strict path filters drop what comes in by an uplink that the main table would not answer by; loose ones don't
    /// (RFC 3704).
    var filters: [SettingChange] {
        var result: [SettingChange] = []
        for link in Set(uplinks.filter { $0.found.problem == nil }.map(\.found.link)).sorted() {
            guard let own = seen.interfaces[link]?.pathFilter, own == "1" || (own == "0" && seen.pathFilterOfAll == "1")
            else { continue }
            result.append(SettingChange(name: "ipv4/conf/\(link)/rp_filter", old: own, new: "2"))
        }
        return result
    }

    /// Steps before the host's table is loaded: what its marks lead to must be there first.
    var before: [any NetStep] {
        guard !uplinks.isEmpty else { return [] }
        if seen.isOthers {
            return [
                Refusal(
                    error: UrsaError(
                        .conflict, "another home of Ursa has uplinks on this host", place: "uplinks",
                        remedy: "define them in one home only"))
            ]
        }
        var steps: [any NetStep] = []
        let numbers = Set(uplinks.map(\.number))
        if !numbers.isSubset(of: seen.noted) {
            steps.append(NoteUplinks(home: home, numbers: seen.noted.union(numbers), previous: seen.noted))
        }
        if !filters.isEmpty { steps.append(ChangeSettings(home: home, changes: filters)) }
        for route in routes.subtracting(own(seen.routes)).sorted(by: { $0.words < $1.words }) {
            steps.append(AddTableRoute(route: route, replaced: replaced(by: route), uplink: name(route.table)))
        }
        for rule in rules.subtracting(own(seen.rules)).sorted(by: { $0.order < $1.order }) {
            steps.append(AddRule(rule: rule, uplink: name(rule.table)))
        }
        return steps
    }

    /// Steps after it: nothing leads there any more.
    func after(_ journal: [SettingChange]) -> [any NetStep] {
        var steps: [any NetStep] = []
        for rule in own(seen.rules).subtracting(rules).sorted(by: { $0.order > $1.order }) {
            steps.append(RemoveRule(rule: rule))
        }
        for route in own(seen.routes).subtracting(routes).sorted(by: { $0.words < $1.words })
        where !routes.contains(where: { $0.table == route.table && $0.isIPv6 == route.isIPv6 && $0.router != nil })
            || route.router == nil
        {
            steps.append(RemoveTableRoute(route: route))
        }
        let links = Set(uplinks.map(\.found.link))
        let loosened = journal.filter { change in
            change.isPathFilter && !links.contains { change.name == "ipv4/conf/\($0)/rp_filter" }
        }
        if !loosened.isEmpty { steps.append(PutSettingsBack(home: home, changes: loosened)) }
        let numbers = Set(uplinks.map(\.number))
        if !seen.noted.isSubset(of: numbers) {
            steps.append(NoteUplinks(home: home, numbers: numbers, previous: seen.noted))
        }
        return steps
    }

    /// The route of the same kind that an addition takes the place of.
    private func replaced(by route: TableRoute) -> TableRoute? {
        own(seen.routes).first {
            $0.table == route.table && $0.isIPv6 == route.isIPv6 && ($0.router == nil) == (route.router == nil)
        }
    }

    private func name(_ table: UInt32) -> String? { uplinks.first { $0.table == table }?.name }

    private func own(_ routes: Set<TableRoute>) -> Set<TableRoute> { routes.filter { isOwn($0.table) } }

    private func own(_ rules: Set<RoutingRule>) -> Set<RoutingRule> {
        // The rule for what is near belongs to whoever has uplinks.
        rules.filter { isOwn($0.table) || ($0.priority == Self.nearPriority && !seen.noted.isEmpty) }
    }

    private func isOwn(_ table: UInt32) -> Bool {
        guard (5001...5255).contains(table), let number = UInt8(exactly: table - 5000) else { return false }
        return seen.noted.contains(number)
    }
}

extension RoutingRule {
    /// Rules by priority, of each IPv4's first.
    fileprivate var order: UInt32 { priority * 2 + (isIPv6 ? 1 : 0) }
}

extension SettingChange {
    /// Whether it is about filtering by the way back.
    var isPathFilter: Bool { name.hasSuffix("/rp_filter") }
}
