import GRDB
import Glibc
import UrsaBase
import UrsaModel
import UrsaNet

/// Gives out what must be unique: subnets, Ethernet and IP addresses, user ids. Always called inside one immediate
/// transaction, so what it reads can't change before what it writes is there.
///
/// Everything derives from the home's and the machine's identity and what is free at the moment the thing is made,
/// never from the order in which machines start; once given out it stays for the machine's or network's life.
struct Allocator {
    let db: Database
    let home: Home
    /// Nil without root: then machines have user networking and nothing of the host is given out.
    let host: HostNetworks?

    /// First user id for engines. The range lies above what distributions, systemd and containers give out
    /// (systemd.io/UIDS-GIDS), and each machine has an id of its own, so that engines can't touch each other.
    static let firstUser: UInt32 = 0x5552_0000

    // MARK: Networks

    /// The record of a network that a spec or a command asks for: the one there is, brought in line, or a new one.
    func network(_ spec: NetworkSpec, project: String?) throws -> NetworkRecord {
        let all = try db.networks()
        let wanted = spec.start == .always
        guard var record = all.first(where: { $0.spec.name == spec.name }) else {
            var record = NetworkRecord(spec: spec, project: project, subnet: nil, subnet6: nil, wanted: wanted)
            try giveSubnets(&record, all)
            try db.save(record)
            return record
        }
        let cards = try db.machines().filter { machine in machine.cards.contains { $0.network == spec.name } }
        if record.spec == spec {
            // Networks given up by `down` come back with the subnets they had.
            // A network that its project neither keeps up nor has machines on goes to the one that asks for it, so that
            // there is always a `down` that takes it away.
            let isKept = record.wanted || cards.contains { $0.project == record.project }
            if record.project == nil || !isKept { record.project = project ?? record.project }
            record.wanted = record.wanted || wanted
            try giveSubnets(&record, all)
            try db.save(record)
            return record
        }
        if let other = cards.first(where: { $0.project != project }) {
            throw UrsaError(
                .conflict, "network \(spec.name) exists with other settings and machine \(other.name) is on it",
                place: other.project.map { "made by \($0)" } ?? "made by `ursa run`",
                remedy: "give this network another name, or remove that machine")
        }
        let moves =
            spec.model != record.spec.model || spec.placement != record.spec.placement
            || (spec.subnet != nil && spec.subnet != record.subnet)
            || (spec.subnet6 != nil && spec.subnet6 != record.subnet6)
            || spec.ipv6 != record.spec.ipv6
        if moves, let machine = cards.first {
            throw UrsaError(
                .conflict,
                "the subnet or model of network \(spec.name) can't change while machine \(machine.name) has an address in it",
                remedy: "`ursa down --rm` first, or give the new network another name")
        }
        if moves { (record.subnet, record.subnet6) = (nil, nil) }
        record.spec = spec
        record.project = project
        record.wanted = wanted
        try giveSubnets(&record, all.filter { $0.spec.name != spec.name })
        try db.save(record)
        return record
    }

    private func giveSubnets(_ record: inout NetworkRecord, _ all: [NetworkRecord]) throws {
        guard let host else { return }
        if try giveLAN(&record, host) { return }
        guard [.nat, .isolated, .routed].contains(record.spec.model) else { return }
        let others = all.filter { $0.spec.name != record.spec.name }
        if record.subnet == nil {
            if let asked = record.spec.subnet {
                // Part of a LAN that the host answers on may be a network of its own, beside guests of that LAN.
                let proxy = record.spec.proxy
                let foreign = others.filter { proxy == nil || $0.model != .lan || $0.spec.interface != proxy }
                if let other = foreign.first(where: { $0.subnet?.overlaps(asked) == true }) {
                    throw UrsaError(
                        .conflict,
                        "subnet \(asked) of network \(record.spec.name) overlaps network \(other.spec.name) (\(other.subnet?.description ?? "?"))",
                        place: try holders(of: other.spec.name),
                        remedy: "choose another subnet, or leave it out to get a free one")
                }
                let holder =
                    try record.spec.proxy.map { (proxy) throws in
                        try host.collision(of: asked, within: proxy)
                    } ?? host.collision(of: asked)
                if let holder {
                    throw UrsaError(
                        .conflict,
                        "subnet \(asked) of network \(record.spec.name) collides with \(holder) of this host",
                        remedy: "choose another subnet, or leave it out to get a free one")
                }
                record.subnet = asked
            } else {
                record.subnet = try host.freeSubnet(taken: others.compactMap(\.subnet))
            }
        }
        // On a LAN where the host answers for it an invented subnet leads nowhere.
        if record.subnet6 == nil, record.spec.ipv6, record.spec.proxy == nil || record.spec.subnet6 != nil {
            record.subnet6 = try record.spec.subnet6 ?? host.freeSubnet6(taken: others.compactMap(\.subnet6))
        }
    }

    /// Whose addresses keep a network's subnet: a network that was renamed is kept by the machines still on it.
    private func holders(of network: String) throws -> String? {
        let names = try db.machines().filter { $0.cards.contains { $0.network == network } }.map(\.name)
        guard !names.isEmpty else { return nil }
        return
            "network \(network) is kept for \(names.prefix(5).joined(separator: ", "))\(names.count > 5 ? ", …" : "")"
    }

    // MARK: Machines

    /// The network cards of a machine: the ones it has where they still fit, new ones otherwise.
    func cards(
        _ spec: MachineSpec, networks: [String: NetworkRecord], having old: [CardView] = []
    ) throws -> [CardView] {
        let identity = try db.fact("home")
        var result: [CardView] = []
        for (position, nic) in spec.networks.enumerated() {
            guard let network = networks[nic.network] else {
                throw UrsaError(
                    .notFound, "there is no network \(nic.network)", place: "machine \(spec.name)",
                    remedy: "define it under `networks:`")
            }
            let kept = position < old.count && old[position].network == nic.network ? old[position] : nil
            let mac =
                try nic.mac.map { try claimed($0, spec.name) } ?? kept?.mac ?? freshMAC(identity, spec.name, position)
            var card = CardView(network: nic.network, mac: mac, address: nil, address6: nil)
            if network.model == .bridged, host != nil {
                // The LAN gives the addresses out; those of the spec are for names.
                card.address = nic.address
                card.address6 = nic.address6
            } else if network.hasTaps, host != nil, let subnet = network.subnet {
                if network.model == .lan {
                    card.address = try claimedOnLAN(nic, subnet, spec.name)
                } else if let asked = nic.address {
                    card.address = try claimed(asked, subnet, nic.network, spec.name)
                } else if let address = kept?.address, subnet.contains(address) {
                    card.address = address
                } else {
                    card.address = try freeAddress(subnet, nic.network, result)
                }
                // The same by router advertisement and by DHCPv6: the name is right whichever the guest uses.
                card.address6 = try network.subnet6.flatMap { (subnet6) throws in
                    try nic.address6.map { try claimed($0, subnet6, nic.network, spec.name) }
                        ?? subnet6.slaacAddress(of: mac)
                }
            }
            result.append(card)
        }
        return result
    }

    private func claimed(_ mac: MACAddress, _ machine: String) throws -> MACAddress {
        let holder = try String.fetchOne(
            db, sql: "SELECT machine FROM cards WHERE mac = ? AND machine <> ?", arguments: [mac.description, machine])
        if let holder {
            throw UrsaError(
                .conflict, "machines \(holder) and \(machine) ask for the same Ethernet address \(mac)",
                place: "machine \(machine)", remedy: "leave `mac` out to get an own one")
        }
        return mac
    }

    private func freshMAC(_ home: String, _ machine: String, _ position: Int) throws -> MACAddress {
        for round in 0..<64 {
            let hash = SHA256.digest("\(home)/\(machine)/\(position)/\(round)")
            let mac = MACAddress(0x5254_0000_0000 | UInt64(hash[0]) << 16 | UInt64(hash[1]) << 8 | UInt64(hash[2]))
            let taken =
                try Bool.fetchOne(
                    db, sql: "SELECT EXISTS (SELECT 1 FROM cards WHERE mac = ?)", arguments: [mac.description]) ?? false
            if !taken { return mac }
        }
        throw UrsaError(.bug, "found no free Ethernet address", place: "machine \(machine)")
    }

    private func claimed(
        _ address: IPv4Address, _ subnet: IPv4Network, _ network: String, _ machine: String
    ) throws -> IPv4Address {
        guard subnet.contains(address), address != subnet.address, address != subnet.broadcast, address != subnet[1],
            address.value != subnet.broadcast.value - 1
        else {
            throw UrsaError(
                .invalidSpec, "address \(address) is not one for machines of network \(network) (\(subnet))",
                place: "machine \(machine)",
                remedy: "choose one from \(subnet[2]) to \(IPv4Address(subnet.broadcast.value - 2))")
        }
        let holder = try String.fetchOne(
            db, sql: "SELECT machine FROM cards WHERE network = ? AND address = ? AND machine <> ?",
            arguments: [network, address.description, machine])
        if let holder {
            throw UrsaError(
                .conflict, "address \(address) of network \(network) belongs to machine \(holder)",
                place: "machine \(machine)", remedy: "choose another address, or leave it out to get a free one")
        }
        return address
    }

    private func freeAddress(_ subnet: IPv4Network, _ network: String, _ pending: [CardView]) throws -> IPv4Address {
        var taken = Set(
            try String.fetchAll(
                db, sql: "SELECT address FROM cards WHERE network = ? AND address IS NOT NULL", arguments: [network]))
        for card in pending where card.network == network { taken.insert(card.address?.description ?? "") }
        // The first address is the gateway, the last usable one the host's end; .10 and up for machines where there is room.
        let last = UInt32(clamping: subnet.count - 3)
        let first: UInt32 = subnet.count > 32 ? 10 : 2
        for range in [first..<max(first, last + 1), 2..<max(2, min(first, last + 1))] {
            for offset in range where !taken.contains(subnet[offset].description) { return subnet[offset] }
        }
        throw UrsaError(
            .conflict, "network \(network) (\(subnet)) has no free address left",
            remedy: "remove machines that are not needed, or use a larger subnet")
    }

    /// The vsock address of a machine that the store has: its own, or a new one that it keeps for its life. Derived from
    /// the home, so that machines of several homes of a host hardly ever have the same.
    func vsockAddress(of machine: String) throws -> UInt32 {
        let known = try Int64.fetchOne(db, sql: "SELECT cid FROM vsock WHERE machine = ?", arguments: [machine])
        if let known, let cid = UInt32(exactly: known) { return cid }
        let identity = try db.fact("home")
        for round in 0..<64 {
            let hash = SHA256.digest("\(identity)/\(machine)/vsock/\(round)")
            // 0 … 2 and the last are taken (virtio 1.2, section 5.10.4); so are all small ones that people choose by hand.
            let cid =
                UInt32(hash[0] & 0x3f | 0x40) << 24 | UInt32(hash[1]) << 16 | UInt32(hash[2]) << 8 | UInt32(hash[3])
            let isTaken =
                try Bool.fetchOne(
                    db, sql: "SELECT EXISTS (SELECT 1 FROM vsock WHERE cid = ?)", arguments: [Int64(cid)]) ?? false
            if isTaken { continue }
            try db.execute(sql: "INSERT INTO vsock VALUES (?, ?)", arguments: [machine, Int64(cid)])
            return cid
        }
        throw UrsaError(.bug, "found no free vsock address", place: "machine \(machine)")
    }

    /// A user id that no other machine has.
    func user() throws -> UInt32 {
        let taken = Set(try Int64.fetchAll(db, sql: "SELECT uid FROM machines"))
        var candidate = Int64(Allocator.firstUser)
        while taken.contains(candidate) { candidate += 1 }
        return UInt32(candidate)
    }
}
