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
        (spec.cpus, spec.memory) = (255, ByteCount(2 << 40))
        let large = NativeEngine.lacks(
            spec, images: QEMUEngine.Images.bootable, cards: [Bool](repeating: true, count: 11))
        #expect(large.map(\.place) == ["machine web, cpus", "machine web, memory", "machine web, networks"])
    }

    @Test func `vsock is the native engine's only, and who asks for it elsewhere is told why`() throws {
        var wish = EngineTests.wish(.auto)
        var spec = wish.spec
        spec.vsock = true
        wish = Engines.Wish(spec: spec, lacks: [])
        #expect(try Engines.choose(wish, trouble: nil, hasNative: true) == .native)
        func reason(
            _ engine: EngineChoice, _ accelerator: AcceleratorChoice = .auto, lacks: [UrsaError] = [],
            trouble: String? = nil,
            hasNative: Bool = true
        ) -> String {
            spec.engine = engine
            spec.accelerator = accelerator
            do throws(UrsaError) {
                _ = try Engines.choose(
                    Engines.Wish(spec: spec, lacks: lacks), trouble: trouble, hasNative: hasNative)
                return "none"
            } catch { return error.description }
        }
        let words = "QEMU has no vsock over unix sockets — machine web, vsock"
        #expect(reason(.qemu).contains(words))
        #expect(reason(.qemu, .tcg).contains(words))
        #expect(reason(.auto, .tcg).contains(words) && reason(.auto, .tcg).contains("no emulation"))
        #expect(reason(.auto, trouble: "the guest is slow").contains("the guest is slow"))
        #expect(reason(.auto, lacks: [EngineTests.lack]).contains("no firmware"))
        #expect(reason(.auto, hasNative: false).contains("not installed"))
    }

    @Test func `a machine with vsock gets its socket and its folder as descriptors`() throws {
        var spec = MachineSpec(name: "web", image: "tiny")
        spec.vsock = true
        let launch = try NativeEngine.make(
            spec, identity: "0123", uuid: "u", program: "/usr/bin/ursa-vmm", images: QEMUEngine.Images.bootable,
            nics: [], user: nil, usesVhost: false, settle: [], eventsPath: nil,
            vsock: VsockView(cid: 0x4000_0001, machineFolder: "/m/web"))
        let text = try #require(launch.arguments.first)
        let vsock = try #require(try JSON.parse(text)["vsock"])
        #expect(vsock["cid"]?.integer == 0x4000_0001)
        #expect(launch.sockets.first { Int64($0.fd) == vsock["listen"]?.integer }?.name == "vsock.sock")
        let folder = launch.files.first { Int64($0.fd) == vsock["folder"]?.integer }
        #expect(folder?.path == "/m/web/vsock" && folder?.isWritable == false)
    }

    @Test func `each card has a pair of queues for each processor, within what descriptors allow`() {
        #expect(Engines.queuePairs(cpus: 1, cards: 1, .native) == 1)
        #expect(Engines.queuePairs(cpus: 4, cards: 1, .native) == 4)
        #expect(Engines.queuePairs(cpus: 64, cards: 1, .qemu(.kvm)) == 8)
        #expect(Engines.queuePairs(cpus: 64, cards: 10, .native) == 1)
        #expect(Engines.queuePairs(cpus: 4, cards: 0, .native) == 4)
        #expect(Engines.queuePairs(cpus: 4, cards: 1, .qemu(.tcg)) == 1)
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
            nics: [.tap(mac: mac, mtu: 1450, queues: 2), .frames(mac: mac, mtu: nil)], user: nil, usesVhost: true,
            settle: [],
            eventsPath: nil)
        let json = try JSON.parse(try #require(launch.arguments.first))
        func path(_ fd: JSON?) -> String? { launch.files.first { Int64($0.fd) == fd?.integer }?.path }
        #expect(path(json["kvm"]) == "/dev/kvm")
        #expect(path(json["boot"]?["kernel"]) == "/i/vmlinuz" && path(json["boot"]?["initrd"]) == "/i/initrd")
        #expect(json["boot"]?["arguments"]?.string == "root=LABEL=x debug")
        let layers = json["disks"]?.array?.first?["layers"]?.array ?? []
        #expect(layers.map { path($0["fd"]) } == ["/m/disk.qcow2", "/i/base.raw"])
        #expect(layers.map { $0["format"]?.string } == ["qcow2", "raw"])
        #expect(
            launch.files.filter(\.isWritable).map(\.path) == [
                "/dev/kvm", "/m/disk.qcow2", "/dev/vhost-net", "/dev/vhost-net",
            ])
        let nics = json["nics"]?.array ?? []
        #expect(nics.first?["tap"]?.array?.map(\.integer) == launch.inherited.prefix(2).map(Int64.init))
        #expect(
            nics.first?["vhost"]?.array?.map(path) == ["/dev/vhost-net", "/dev/vhost-net"] && nics.first?["mtu"] == 1450
        )
        #expect(nics.last?["frames"]?.integer == launch.inherited.last.map(Int64.init))
        #expect(json["console"] == 10 && json["monitors"] == [11, 12] && json["cpus"] == 2)
    }
}

extension QEMUEngine.Images {
    /// An image that brings its kernel.
    fileprivate static var bootable: QEMUEngine.Images {
        var images = QEMUEngine.Images()
        images.directKernel = .init(kernel: "/i/vmlinux", initrd: nil, arguments: "")
        return images
    }
}
