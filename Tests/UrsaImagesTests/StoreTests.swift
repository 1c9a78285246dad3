import Glibc
import Testing
import UrsaBase

@testable import UrsaImages

@Suite("The image store", .serialized)
struct StoreTests {
    let folder: TempFolder

    init() throws { folder = try TempFolder() }

    /// A store with one image by hand, without any builder.
    private func filled(_ name: String = "mine:1", in path: String) throws -> (ImageStore, Image) {
        let store = ImageStore(folder: path)
        let image = try store.make(name) { (workshop) throws(UrsaError) in
            try File.replace(workshop.folder + "/vmlinux", [1, 2, 3], mode: 0o600)
            return Image(
                name: name, boot: .kernel(KernelBoot(kernel: workshop.folder + "/vmlinux", arguments: "quiet")),
                readyPort: 80, origin: "a test")
        }
        return (store, image)
    }

    @Test("an image is found again as it was made, under a place any user may read")
    func roundTrip() throws {
        let (store, image) = try filled(in: folder("store"))
        #expect(try store.list() == [image])
        #expect(try store.find("mine:1") == image)
        #expect(try store.find(identifier: image.identifier) == image)
        #expect(try store.find("other") == nil)
        #expect(try Image(json: image.json) == image)
        guard case .kernel(let boot) = image.boot else { throw UrsaError(.bug, "no kernel") }
        #expect(File.status(boot.kernel).map { $0.st_mode & 0o777 } == 0o644)
        #expect(File.status(Path.parent(boot.kernel)).map { $0.st_mode & 0o777 } == 0o755)
        #expect(File.list(folder("store")).allSatisfy { !$0.hasPrefix(".partial") })
    }

    @Test(
        "metadata that lies is not believed",
        arguments: [
            (#""kernel": "vmlinux""#, #""kernel": "../../x""#), (#""name": "mine:1""#, #""name": """#),
            (#""boot": {"#, #""boot": 7, "b": {"#), (#""identifier": ""#, #""identifier": "0"#),
            (#""made": "#, #""made": "x", "m": "#),
        ])
    func hostileMetadata(before: String, after: String) throws {
        let (store, image) = try filled(in: folder("store"))
        let path = folder("store/images/\(image.identifier)/image.json")
        let text = try File.readText(path)
        let range = try #require(text.firstRange(of: before))
        try File.replace(path, text: String(text[..<range.lowerBound]) + after + text[range.upperBound...])
        #expect(try store.list().isEmpty)
        #expect(try store.find("mine:1") == nil)
    }

    @Test("an image in use stays, and the machines that use it are named")
    func removeRefused() throws {
        let (store, image) = try filled(in: folder("store"))
        let error = #expect(throws: UrsaError.self) { try store.remove("mine:1", users: ["web", "db"]) }
        #expect(error?.code == .conflict)
        #expect(error?.message.contains("db, web") == true)
        try store.remove("mine:1", keeping: [image.identifier])
        #expect(try store.list() == [image])
        try store.remove("mine:1")
        #expect(try store.list().isEmpty)
        #expect(File.list(folder("store/images")).isEmpty)
        #expect(throws: UrsaError.self) { try store.remove("mine:1") }
    }

    @Test("a newer version takes the name, the older one goes when nobody uses it")
    func versions() throws {
        let (store, old) = try filled(in: folder("store"))
        pause(milliseconds: 5)
        let new = try store.make("mine:1") { (workshop) throws(UrsaError) in
            try File.replace(workshop.folder + "/vmlinux", [4], mode: 0o600)
            return Image(
                name: "mine:1", boot: .kernel(KernelBoot(kernel: workshop.folder + "/vmlinux", arguments: "quiet")),
                origin: "a test")
        }
        #expect(new.identifier != old.identifier)
        #expect(try store.find("mine:1") == new)
        #expect(try store.prune(keeping: [old.identifier]).isEmpty)
        #expect(try store.prune(keeping: []) == [old])
        #expect(try store.list() == [new])
    }

    @Test("unknown and malformed names are told with what there is")
    func names() throws {
        let store = ImageStore(folder: folder("store"))
        let misspelt = #expect(throws: UrsaError.self) { try store.ensure("debain:12") }
        #expect(misspelt?.code == .notFound)
        #expect(misspelt?.remedy == "did you mean debian:12?")
        for name in ["", "a/b", "A", ":x", "x:", "-x", "a b", "..", String(repeating: "x", count: 65), "a:b:c"] {
            let error = #expect(throws: UrsaError.self, "\(name)") { try store.ensure(name) }
            #expect(error?.code == .usage, "\(name)")
        }
    }

    @Test("a file of the person's is used where it is", .enabled(if: has("qemu-img"), "needs qemu-img"))
    func ownFile() throws {
        let path = folder("disk.qcow2")
        try Program("qemu-img", ["create", "-q", "-f", "qcow2", path, "10M"]).require("make")
        let store = ImageStore(folder: folder("store"))
        let image = try store.ensure(path)
        #expect(image.disk == DiskFile(path: path, format: .qcow2, virtualSize: .mebibytes(10)))
        #expect(try store.list().isEmpty)
        let same = try store.ensure(path)
        #expect(same == image)
        #expect(throws: UrsaError.self) { try store.ensure(folder("none.qcow2")) }
    }

    @Test(
        "a killed build leaves nothing but a partial folder, which the next build sweeps",
        .serialized, .enabled(if: TinyTests.canBuild, "needs apt and lz4"),
        arguments: ["unpacking the kernel", "packing"])
    func killed(moment: String) async throws {
        // Packages come from the shared store, so only the image itself is built here.
        let path = try SharedStore.folder()
        _ = try ImageStore(folder: path).ensure("tiny")
        let name = "killed-\(moment.count)"
        await #expect(processExitsWith: .signal(SIGKILL)) {
            [path = path as String, name = name as String, moment = moment as String] in
            let store = ImageStore(folder: path, recipes: [ImageRecipe(name: name, source: .builder("tiny"))])
            _ = try store.ensure(name) { progress in
                if progress.activity.hasPrefix(moment) { kill(getpid(), SIGKILL) }
            }
        }
        let store = ImageStore(folder: path, recipes: [ImageRecipe(name: name, source: .builder("tiny"))])
        #expect(try store.find(name) == nil)
        #expect(File.list(path).contains { $0.hasPrefix(".partial-") })
        let image = try store.ensure(name)
        #expect(try store.find(name) == image)
        // Other tests of this process may be at work in the shared store; the killed one was a process of its own.
        let left = File.list(path).filter { $0.hasPrefix(".partial-") && !$0.hasPrefix(".partial-\(getpid())-") }
        #expect(left.isEmpty)
        try store.remove(name)
    }

    @Test(
        "of two builds of one image at once, one builds and the other uses it",
        .enabled(if: TinyTests.canBuild, "needs apt and lz4"))
    func together() throws {
        let path = try SharedStore.folder()
        let store = ImageStore(folder: path, recipes: [ImageRecipe(name: "both", source: .builder("tiny"))])
        let builds = Locked(0)
        // The compiler crashes on typed-throws closures that return a whole Image (6.3.1), so they leave it here.
        let images = Locked<[Image]>([])
        try OSThread.concurrently([1, 2]) { (_: Int) throws(UrsaError) in
            let image = try store.ensure("both") { if $0.activity.hasPrefix("packing") { builds.withLock { $0 += 1 } } }
            images.withLock { $0.append(image) }
        }
        #expect(images.withLock { $0.count } == 2)
        #expect(images.withLock { Set($0).count } == 1)
        #expect(builds.withLock { $0 } == 1)
        try store.remove("both")
    }
}

@Suite("Disks of machines", .enabled(if: has("qemu-img"), "needs qemu-img"))
struct OverlayTests {
    let folder: TempFolder
    let base: Image

    init() throws {
        folder = try TempFolder()
        let path = folder("base.qcow2")
        try Program("qemu-img", ["create", "-q", "-f", "qcow2", path, "10M"]).require("make")
        base = try ImageStore(folder: folder("store")).ensure(path)
    }

    @Test("a disk over an image has its size or a larger one, its format stated, and only its owner reads it")
    func over() throws {
        try Overlay.create(path: folder("a.qcow2"), base: base, size: nil)
        #expect(try Overlay.virtualSize(folder("a.qcow2")) == .mebibytes(10))
        try Overlay.create(path: folder("b.qcow2"), base: base, size: ByteCount(20_000_001))
        #expect(try Overlay.virtualSize(folder("b.qcow2")) == ByteCount(20_000_256))
        let info = try JSON.parse(try output("qemu-img", ["info", "--output=json", folder("a.qcow2")]))
        #expect(info["backing-filename"]?.string == base.disk?.path)
        #expect(info["backing-filename-format"]?.string == "qcow2")
        #expect(File.status(folder("a.qcow2")).map { $0.st_mode & 0o777 } == 0o600)
    }

    @Test("a disk is never smaller than its image, never without a size, and never takes another's place")
    func refused() throws {
        let small = #expect(throws: UrsaError.self) {
            try Overlay.create(path: folder("a.qcow2"), base: base, size: .mebibytes(9))
        }
        #expect(small?.code == .invalidSpec)
        #expect(throws: UrsaError.self) { try Overlay.create(path: folder("a.qcow2"), base: nil, size: nil) }
        try Overlay.create(path: folder("a.qcow2"), base: nil, size: .mebibytes(5))
        let taken = #expect(throws: UrsaError.self) {
            try Overlay.create(path: folder("a.qcow2"), base: base, size: nil)
        }
        #expect(taken?.code == .conflict)
        #expect(File.list(folder.path).allSatisfy { !$0.contains(".new-") })
        #expect(throws: UrsaError.self) { try Overlay.virtualSize("/etc/passwd") }
    }
}

@Suite("First-boot seeds")
struct FirstBootTests {
    private let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHxyz+/= me: the # owner"

    @Test(
        "the seed is a disk labelled CIDATA with files that cloud-init and a shell can read",
        .enabled(if: has("genisoimage", "isoinfo"), "needs genisoimage"))
    func seed() throws {
        let folder = try TempFolder()
        let boot = FirstBoot(hostName: "web", instanceIdentifier: "i-1", sshKeys: [key], user: "root")
        try boot.writeSeed(path: folder("seed.iso"))
        let volume = try output("isoinfo", ["-d", "-i", folder("seed.iso")])
        #expect(volume.contains("Volume id: CIDATA"))
        let meta = try output("isoinfo", ["-R", "-i", folder("seed.iso"), "-x", "/meta-data"])
        #expect(meta.contains("local-hostname: web\n"))
        #expect(meta.contains("  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHxyz+/= me__the___owner\n"))
        let user = try output("isoinfo", ["-R", "-i", folder("seed.iso"), "-x", "/user-data"])
        #expect(user.hasPrefix("#cloud-config\n{"))
        let config = try JSON.parse(String(user.dropFirst(14)))
        #expect(config["disable_root"]?.bool == false)
        #expect(config["users"]?.array?.first?["name"]?.string == "root")
        #expect(File.list(folder.path) == ["seed.iso"])
        try boot.writeSeed(path: folder("seed.iso"))
        #expect(File.list(folder.path) == ["seed.iso"])
    }

    @Test("cards are named by their addresses where they are known")
    func network() throws {
        var boot = FirstBoot(hostName: "web", instanceIdentifier: "i-1")
        let all = try #require(try boot.files().first { $0.0 == "network-config" })
        #expect(try JSON.parse(all.1)["ethernets"]?["cards"]?["match"]?["name"]?.string == "e*")
        boot.cards = [try #require(MACAddress("52:54:00:00:00:01"))]
        let one = try #require(try boot.files().first { $0.0 == "network-config" })
        #expect(try JSON.parse(one.1)["ethernets"]?["card0"]?["match"]?["macaddress"]?.string == "52:54:00:00:00:01")
        boot.networkByDHCP = false
        #expect(try boot.files().map(\.0) == ["meta-data", "user-data"])
    }

    @Test(
        "what would break out of a line is refused",
        arguments: [
            ("a\nb", "i", "ssh-ed25519 AAAA x"), ("", "i", "ssh-ed25519 AAAA x"), ("a", "i: {}", "ssh-ed25519 AAAA x"),
            ("a", "i", "AAAA"), ("a", "i", "ssh-ed25519 AAAA\nssh-rsa AAAA"), ("a", "i", "command=x ssh-rsa AAAA"),
            ("-a", "i", "ssh-ed25519 AAAA x"),
        ])
    func refused(host: String, identity: String, key: String) {
        let error = #expect(throws: UrsaError.self) {
            try FirstBoot(hostName: host, instanceIdentifier: identity, sshKeys: [key]).files()
        }
        #expect(error?.code == .invalidSpec)
    }
}
