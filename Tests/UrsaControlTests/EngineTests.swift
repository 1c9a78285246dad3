import Testing
import UrsaBase
import UrsaKeeper
import UrsaModel
import UrsaQEMU

@testable import UrsaControl

@Suite struct EngineTests {
    private static func wish(
        _ engine: EngineChoice, _ accelerator: AcceleratorChoice = .auto, lacks: [UrsaError] = []
    ) -> Engines.Wish {
        var spec = MachineSpec(name: "web", image: "tiny")
        spec.engine = engine
        spec.accelerator = accelerator
        return Engines.Wish(spec: spec, lacks: lacks)
    }

    private static let lack = UrsaError(.unsupported, "no firmware")

    @Test func `auto takes our own monitor where KVM works and nothing is lacking`() throws {
        #expect(try Engines.choose(EngineTests.wish(.auto), trouble: nil, hasNative: true) == .native)
        #expect(try Engines.choose(EngineTests.wish(.auto, .kvm), trouble: nil, hasNative: true) == .native)
        #expect(try Engines.choose(EngineTests.wish(.auto), trouble: nil, hasNative: false) == .qemu(.kvm))
        #expect(
            try Engines.choose(EngineTests.wish(.auto, lacks: [EngineTests.lack]), trouble: nil, hasNative: true)
                == .qemu(.kvm))
    }

    @Test func `auto takes QEMU and emulation where KVM can't run stock kernels`() throws {
        #expect(try Engines.choose(EngineTests.wish(.auto), trouble: "slow", hasNative: true) == .qemu(.tcg))
        #expect(try Engines.choose(EngineTests.wish(.auto, .tcg), trouble: nil, hasNative: true) == .qemu(.tcg))
        #expect(throws: UrsaError.self) {
            try Engines.choose(EngineTests.wish(.auto, .kvm), trouble: "slow", hasNative: true)
        }
    }

    @Test func `an engine asked for by name is had, or the reason is told`() throws {
        #expect(try Engines.choose(EngineTests.wish(.qemu), trouble: nil, hasNative: true) == .qemu(.kvm))
        #expect(try Engines.choose(EngineTests.wish(.native), trouble: nil, hasNative: true) == .native)
        func reason(_ wish: Engines.Wish, _ trouble: String?) -> String {
            do throws(UrsaError) {
                _ = try Engines.choose(wish, trouble: trouble, hasNative: true)
                return "none"
            } catch { return error.description }
        }
        #expect(reason(EngineTests.wish(.native, lacks: [EngineTests.lack]), nil).contains("no firmware"))
        #expect(reason(EngineTests.wish(.native), "the guest is slow").contains("the guest is slow"))
        #expect(reason(EngineTests.wish(.native, .tcg), nil).contains("no emulation — machine web, accelerator"))
    }

    @Test func `what the native engine can't do is told with what to do instead`() {
        var spec = MachineSpec(name: "web", image: "./disk.qcow2")
        spec.engine = .native
        let lacks = NativeEngine.lacks(spec, images: QEMUEngine.Images(), cards: [true, false])
        #expect(lacks.map(\.place) == ["machine web, image", "machine web, networks[1]"])
        #expect(lacks.allSatisfy { $0.remedy?.contains("engine: qemu") == true })
    }

    @Test func `the monitor gets each file, tap and socket as a descriptor that its configuration names`() throws {
        var spec = MachineSpec(name: "web", image: "debian:12")
        spec.cpus = 2
        spec.kernelArguments = "debug"
        var images = QEMUEngine.Images(
            disk: .init(path: "/m/disk.qcow2", format: .qcow2), backing: [.init(path: "/i/base.raw", format: .raw)],
            seed: "/m/seed.iso")
        images.directKernel = .init(kernel: "/i/vmlinuz", initrd: "/i/initrd", arguments: "root=LABEL=x")
        let mac = try #require(MACAddress("52:54:00:12:34:56"))
        let launch = try NativeEngine.make(
            spec, identity: "0123", uuid: "u", program: "/usr/bin/ursa-vmm", images: images,
            nics: [.tap(mac: mac, mtu: 1450), .frames(mac: mac, mtu: nil)], user: nil, usesVhost: true, settle: [],
            eventsPath: nil)
        let json = try JSON.parse(try #require(launch.arguments.first))
        func path(_ fd: JSON?) -> String? { launch.files.first { Int64($0.fd) == fd?.integer }?.path }
        #expect(path(json["kvm"]) == "/dev/kvm")
        #expect(path(json["boot"]?["kernel"]) == "/i/vmlinuz" && path(json["boot"]?["initrd"]) == "/i/initrd")
        #expect(json["boot"]?["arguments"]?.string == "root=LABEL=x debug")
        let layers = json["disks"]?.array?.first?["layers"]?.array ?? []
        #expect(layers.map { path($0["fd"]) } == ["/m/disk.qcow2", "/i/base.raw"])
        #expect(layers.map { $0["format"]?.string } == ["qcow2", "raw"])
        #expect(launch.files.filter(\.isWritable).map(\.path) == ["/dev/kvm", "/m/disk.qcow2", "/dev/vhost-net"])
        let nics = json["nics"]?.array ?? []
        #expect(nics.first?["tap"]?.integer == launch.inherited.first.map(Int64.init))
        #expect(path(nics.first?["vhost"]) == "/dev/vhost-net" && nics.first?["mtu"] == 1450)
        #expect(nics.last?["frames"]?.integer == launch.inherited.last.map(Int64.init))
        #expect(json["console"] == 10 && json["monitors"] == [11, 12] && json["cpus"] == 2)
    }
}
