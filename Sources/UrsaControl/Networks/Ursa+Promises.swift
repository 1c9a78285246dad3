public import UrsaBase
public import UrsaDoctor
import UrsaModel
public import UrsaNet

extension Ursa {
    /// Sends real packets along everything that the networks that are up promise; see `PromiseTest`.
    ///
    /// - Throws: `.permission` without root; `.notFound` when no network is up.
    public func testNetworks(report: (Promise) -> Void) throws(UrsaError) -> [Promise] {
        let store = try existingStore()
        try requireRoot("testing networks")
        let scene = try NetworkScene(self, store)
        guard !scene.wish.networks.isEmpty || !scene.wish.uplinks.isEmpty else {
            throw UrsaError(.notFound, "no network is up", remedy: "`ursa up` makes the networks of ursa.yaml")
        }
        // What is tested must not change meanwhile.
        return try FileLock.holding(home.hostLockPath) { () throws(UrsaError) -> [Promise] in
            let view = try HostNetworks(home: scene.mark).view()
            return try PromiseTest(home: scene.mark, wish: scene.wish, view: view).run(report: report)
        }
    }

    /// What on this host keeps networks from working, and the one command that mends each: the doctor's questions about
    /// networks, and where the home's own networks are not as they should be.
    public func examineNetworks() throws(UrsaError) -> [Finding] {
        var findings = Doctor(home: home.folder, run: "/run/ursa").examineNetworks()
        guard File.exists(home.storePath) else { return findings }
        let store = try Store(home: home)
        guard let host = try hostNetworks(store) else {
            return findings + [
                Finding(
                    .note, "networks", "only root can see whether networks are whole",
                    remedy: home.isForeign ? "sudo ursa net doctor" : nil)
            ]
        }
        let scene = try NetworkScene(self, store)
        let steps = host.plan(scene.wish, try host.observe())
        findings += steps.map { step in
            let place = HostNetworks.network(of: step).map { "network \($0): " } ?? ""
            return Finding(.problem, "networks", "\(place)\(step.line)", remedy: "ursa settle")
        }
        findings += try host.view().links.filter { $0.name == "utrace0" }.map {
            Finding(
                .warning, "leftovers", "\($0.name) was left by a command that was killed",
                remedy: "ip link delete \($0.name)")
        }
        if steps.isEmpty {
            let count = scene.wanted.count
            findings.append(
                Finding(
                    .ok, "networks", count == 0 ? "none is up, and nothing is left of any" : "all \(count) are whole"))
        }
        return findings
    }
}
