import Testing
import UrsaBase

@testable import UrsaVMM

@Suite struct ConfigurationTests {
    private static let whole = """
        {"name":"web","uuid":"01234567-89ab-4def-8123-456789abcdef","cpus":2,"memory":536870912,"kvm":13,"profile":"mmio",
         "hugePages":true,"mergeable":true,"boot":{"kernel":14,"initrd":15,"arguments":"console=ttyS0"},
         "disks":[{"layers":[{"fd":16,"format":"qcow2"},{"fd":17,"format":"raw"}],"readOnly":true,"serial":"root"}],
         "nics":[{"tap":18,"mac":"52:54:00:00:00:01","mtu":1500,"vhost":19},{"frames":20,"mac":"52:54:00:00:00:02"}],
         "console":10,"monitors":[11,12],"virtioConsole":21,"vsock":{"cid":3,"listen":22,"folder":23},"entropy":false,
         "balloon":true}
        """

    @Test func `every key is read`() throws {
        let made = try MachineConfiguration(JSON.parse(Self.whole))
        #expect(made.name == "web" && made.cpus == 2 && made.memory == 512 << 20 && made.kvm == 13)
        #expect(made.profile == .mmio && made.hugePages && made.isMergeable)
        #expect(made.boot == .init(kernel: 14, initrd: 15, arguments: "console=ttyS0"))
        #expect(
            made.disks.map(\.serial) == ["root"] && made.disks[0].layers.map(\.fd) == [16, 17]
                && made.disks[0].isReadOnly)
        #expect(made.nics.map(\.backend) == [.tap([18], vhost: [19]), .frames(20)] && made.nics[0].mtu == 1500)
        #expect(made.console == .socket(10) && made.monitors == [11, 12] && made.virtioConsole == 21)
        #expect(made.vsock == .init(cid: 3, listener: 22, folder: 23) && !made.hasEntropy && made.hasBalloon)
    }

    @Test func `a card has as many pairs of queues as its tap has descriptors`() throws {
        let text = Self.whole.replacing(#""tap":18"#, with: #""tap":[18,30]"#)
        let made = try MachineConfiguration(JSON.parse(text.replacing(#""vhost":19"#, with: #""vhost":[19,31]"#)))
        #expect(made.nics.first?.backend == .tap([18, 30], vhost: [19, 31]))
    }

    @Test(arguments: [
        (#""tap":18"#, #""tap":[18,30]"#, "nics[0].vhost"),
        (#""tap":18"#, #""tap":[1,2,3,4,5,6,7,8,9]"#, "nics[0].tap"),
        (#""tap":18"#, #""tap":[-1]"#, "nics[0].tap"), (#""cpus":2"#, #""cpus":0"#, "cpus"),
        (#""memory":536870912"#, #""memory":536870913"#, "memory"),
        (#""kvm":13"#, #""kvm":"a""#, "kvm"), (#""profile":"mmio""#, #""profile":"isa""#, "pci, mmio"),
        (#""kernel":14,"#, "", "boot.kernel"), (#""format":"raw""#, #""format":"vdi""#, "disks[0].layers[1].format"),
        (#","format":"raw""#, "", "never guessed"), (#""serial":"root""#, #""serial":"a b""#, "disks[0].serial"),
        (#""frames":20"#, #""frames":20,"tap":4"#, "nics[1].tap"), (#"52:54:00:00:00:02"#, "52:54", "nics[1].mac"),
        (#""console":10"#, #""console":"tty""#, "console"), (#""cid":3"#, #""cid":2"#, "vsock.cid"),
        (#""monitors":[11,12]"#, #""monitors":[true]"#, "monitors"),
        (#""balloon":true"#, #""baloon":true"#, "baloon is not known"),
        (#""readOnly":true"#, #""readonly":true"#, "disks[0].readonly is not known"),
    ])
    func `a fault is told with its key`(_ old: String, _ new: String, _ words: String) throws {
        let parts = Self.whole.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false)
        let text = String(parts[0]) + new + String(try #require(parts.dropFirst().first))
        do throws(UrsaError) {
            _ = try MachineConfiguration(JSON.parse(text))
            Issue.record("accepted")
        } catch {
            #expect(error.message.contains(words), "\(error.message)")
        }
    }
}
