import Testing
import UrsaBase
import UrsaImages
import UrsaModel

@testable import UrsaControl

@Suite("What differs between a spec and what runs")
struct DifferenceTests {
    private func record(_ spec: MachineSpec) -> MachineRecord {
        MachineRecord(
            name: spec.name, id: "0", project: "/p/ursa.yaml", spec: spec,
            image: Image(name: spec.image, boot: .disk, origin: ""), machineType: "pc", uid: 1, made: 0, phase: .ready,
            cards: [])
    }

    private func difference(
        wanted: MachineSpec, stored: MachineSpec, started: [String: MachineSpec]
    ) throws -> Difference {
        try Difference(
            Spec(networks: [], machines: [wanted]), project: "/p/ursa.yaml", machines: [record(stored)], networks: [],
            running: ["web"], started: started, stored: ["tiny"])
    }

    @Test("a machine goes on to need its restart after its new settings were stored")
    func waitsForRestart() throws {
        let old = MachineSpec(name: "web", image: "tiny")
        var new = old
        new.memory = .mebibytes(1024)
        let waiting = try difference(wanted: new, stored: new, started: ["web": old])
        #expect(waiting.changed.map(\.words) == [["memory 512M → 1G"]])
        #expect(waiting.changed.map(\.needsRestart) == [true])
        #expect(try difference(wanted: new, stored: new, started: ["web": new]).changed.isEmpty)
    }

    @Test("what was changed while the machine runs is not told again")
    func liveChanges() throws {
        let old = MachineSpec(name: "web", image: "tiny")
        var new = old
        new.publish = [PublishSpec(hostPort: 8080, guestPort: 80)]
        let first = try difference(wanted: new, stored: old, started: ["web": old])
        #expect(first.changed.map(\.needsRestart) == [false])
        #expect(try difference(wanted: new, stored: new, started: ["web": old]).changed.isEmpty)
    }
}
