public import UrsaBase
import UrsaNet

/// All machines, and what is not as it should be.
public struct Listing: Sendable {
    /// The machines in the order in which they were made.
    public var machines: [MachineView]
    /// What is broken and what mends it, one line each.
    public var troubles: [String]
}

extension Ursa {
    /// What `ps` shows: one look at the store and at the processes. Takes no lock and waits for nobody.
    public func listing() throws(UrsaError) -> Listing {
        guard File.exists(home.storePath) else { return Listing(machines: [], troubles: []) }
        let store = try Store(home: home)
        let (records, networks, claims) = try store.read { (try $0.machines(), try $0.networks(), try $0.liveClaims()) }
        let runs = records.map { home.runState($0.name) }
        var troubles: [String] = []
        if store.isReadOnly {
            troubles.append("the state folder \(home.folder) can only be read — make it writable, or set URSA_HOME")
        }
        var live = claims
        for (record, run) in zip(records, runs) {
            if run.isLive { live.insert(record.name) }
            if record.phase != .ready, !claims.contains(record.name) {
                troubles.append(
                    "machine \(record.name) was left half made by a command that was ended — `ursa settle` clears it")
            } else if run.isOrphan {
                troubles.append("machine \(record.name) has lost its keeper — `ursa settle` gives it a new one")
            }
        }
        if let host = try? hostNetworks(store) {
            let wish = Wishes.host(networks, records, live: live)
            for (network, words) in host.health(wish.watched).sorted(by: { $0.key < $1.key }) {
                troubles.append("network \(network): \(words) — `ursa settle` mends it")
            }
        }
        return Listing(
            machines: zip(records, runs).map { view($0, $1, isClaimed: claims.contains($0.name)) }, troubles: troubles)
    }
}
