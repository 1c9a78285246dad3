import GRDB
import UrsaBase
import UrsaModel
import UrsaNet

/// Networks whose machines have addresses of a LAN that the host is on: nothing is given out, all is checked.
extension Allocator {
    /// The subnets of a network on a LAN: those of the spec, else those of the host's interface. False for networks of
    /// other models.
    func giveLAN(_ record: inout NetworkRecord, _ host: HostNetworks) throws -> Bool {
        let spec = record.spec
        guard spec.model == .lan || spec.model == .bridged, let interface = spec.interface else {
            return spec.model == .bridged
        }
        // A bridge over a radio is none; what is made instead, if anything, stays until the spec changes.
        if spec.model == .bridged {
            let fallsBack = spec.fallback == .lan && (record.subnet != nil || host.isWireless(interface))
            guard fallsBack else { return true }
        }
        var found: (v4: IPv4Network?, v6: IPv6Network?) = (nil, nil)
        do { found = try host.subnets(of: interface) } catch { if spec.subnet == nil { throw error } }
        // The LAN may be another one than the last time.
        guard let subnet = spec.subnet ?? found.v4 ?? record.subnet else {
            throw UrsaError(
                .invalidSpec, "the interface \(interface) has no IPv4 address that tells the LAN's subnet",
                place: "network \(spec.name)", remedy: "say it: `subnet: 192.168.1.0/24`, or connect the interface")
        }
        record.subnet = subnet
        record.subnet6 = spec.ipv6 ? spec.subnet6 ?? found.v6 : nil
        return true
    }

    /// A machine's address on a LAN: the one of the spec, because only the LAN's keeper knows which are free.
    func claimedOnLAN(_ nic: NICSpec, _ subnet: IPv4Network, _ machine: String) throws -> IPv4Address {
        guard let address = nic.address else {
            throw UrsaError(
                .invalidSpec, "machine \(machine) needs an address on network \(nic.network), which is on the LAN",
                place: "machine \(machine)",
                remedy: "`networks: [{ \(nic.network): { address: … } }]`: one of \(subnet) outside the range that the "
                    + "LAN's DHCP server gives out")
        }
        guard subnet.contains(address), address != subnet.address, address != subnet.broadcast else {
            throw UrsaError(
                .invalidSpec, "address \(address) is not one of network \(nic.network)'s LAN (\(subnet))",
                place: "machine \(machine)",
                remedy: "choose one from \(subnet[1]) to \(IPv4Address(subnet.broadcast.value - 1))")
        }
        try requireUnclaimed("address", address.description, on: nic.network, machine)
        return address
    }

    /// An IPv6 address of the spec.
    func claimed(
        _ address: IPv6Address, _ subnet: IPv6Network, _ network: String, _ machine: String
    ) throws -> IPv6Address {
        guard subnet.contains(address), address.low > 1, address.low != 0xffff else {
            throw UrsaError(
                .invalidSpec, "address \(address) is not one for machines of network \(network) (\(subnet))",
                place: "machine \(machine)", remedy: "choose another one of \(subnet), or leave it out")
        }
        try requireUnclaimed("address6", address.description, on: network, machine)
        return address
    }

    private func requireUnclaimed(_ column: String, _ address: String, on network: String, _ machine: String) throws {
        let holder = try String.fetchOne(
            db, sql: "SELECT machine FROM cards WHERE network = ? AND \(column) = ? AND machine <> ?",
            arguments: [network, address, machine])
        guard let holder else { return }
        throw UrsaError(
            .conflict, "address \(address) of network \(network) belongs to machine \(holder)",
            place: "machine \(machine)", remedy: "choose another address")
    }
}
