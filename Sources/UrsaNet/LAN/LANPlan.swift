import UrsaBase

/// What the host answers for on its LANs.
extension NetworkPlan {
    /// What it should answer for, with the network each is for.
    var wantedEntries: [LANEntry: String] {
        var result: [LANEntry: String] = [:]
        for wish in wishes {
            guard let interface = wish.publishedOn else { continue }
            let link = self.wish.addressedLink(interface, home)
            guard seen.lans.interfaces[link] != nil || link != interface else { continue }
            for address in wish.addressesOnLAN { result[LANEntry(link: link, address: address)] = wish.name }
        }
        return result
    }

    /// Settings of the host's interfaces that the wished networks need.
    var lanSettings: [Setting] {
        Set(wantedEntries.keys.map(\.link)).sorted().flatMap { LANSettings.all($0) }
    }

    /// Entries that are missing, and those of guests that are gone.
    var lanSteps: [any NetStep] {
        let wanted = wantedEntries
        var steps: [any NetStep] = []
        let stale = seen.lans.entries.subtracting(wanted.keys)
        if !stale.isEmpty { steps.append(StopPublishing(entries: stale.sorted())) }
        let missing = wanted.filter { !seen.lans.entries.contains($0.key) }
        for (link, entries) in Dictionary(grouping: missing, by: \.key.link).sorted(by: { $0.key < $1.key }) {
            steps.append(
                PublishOnLAN(
                    link: link, addresses: entries.map(\.key.address).sorted(by: LANEntry.order),
                    networks: Set(entries.map(\.value)).sorted()))
        }
        return steps
    }

    /// Why a network that is not up yet can't be published.
    func lanProblem(_ wish: NetworkWish) -> UrsaError? {
        guard let interface = wish.publishedOn else { return nil }
        let link = self.wish.addressedLink(interface, home)
        if seen.lans.interfaces[link] != nil || link != interface { return nil }
        let names = seen.lans.interfaces.keys.sorted().joined(separator: ", ")
        return UrsaError(
            .notFound, "the host has no interface \(interface)", place: "network \(wish.name)",
            remedy: names.isEmpty ? nil : "its interfaces: \(names)")
    }
}

extension LANEntry: Comparable {
    static func < (a: LANEntry, b: LANEntry) -> Bool {
        a.link != b.link ? a.link < b.link : order(a.address, b.address)
    }

    /// IPv4 before IPv6, then by number.
    static func order(_ a: IPAddress, _ b: IPAddress) -> Bool {
        a.wire.count != b.wire.count ? a.wire.count < b.wire.count : a.wire.lexicographicallyPrecedes(b.wire)
    }
}
