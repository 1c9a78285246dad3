import GRDB
import Glibc
import Testing
import UrsaBase
import UrsaImages
import UrsaModel
import UrsaNet

@testable import UrsaControl

/// A home of a test's own, removed with the value.
final class TestHome {
    let home: Home

    init() throws {
        var template = Array("/tmp/ursa-control-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw UrsaError.system(.current, "make a temporary folder") }
        home = Home(folder: String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    deinit { try? File.removeTree(home.folder) }

    func store() throws -> Store { try Store(home: home) }

    /// Networks whose marks are nobody's: what the host has is read, nothing is made.
    var host: HostNetworks {
        HostNetworks(
            home: HomeMark(
                id: "00000000", isDefault: false, folder: home.networkFolder, runFolder: home.folder + "/run",
                hostsFile: home.folder + "/hosts"))
    }

    /// Gives a network out as `up` does.
    @discardableResult
    func network(_ spec: NetworkSpec, project: String? = "/p") throws -> NetworkRecord {
        try store().write { try Allocator(db: $0, home: home, host: host).network(spec, project: project) }
    }

    /// Gives a machine's cards out and stores it as `run` does.
    @discardableResult
    func machine(_ spec: MachineSpec, project: String? = "/p") throws -> MachineRecord {
        try store().write { db in
            let allocator = Allocator(db: db, home: home, host: host)
            let networks = Dictionary(uniqueKeysWithValues: try db.networks().map { ($0.spec.name, $0) })
            var record = record(spec, project: project)
            record.cards = try allocator.cards(spec, networks: networks)
            record.uid = try allocator.user()
            try db.insert(record)
            return record
        }
    }

    /// The cards that a machine would have now.
    func cards(_ spec: MachineSpec, having old: [CardView] = []) throws -> [CardView] {
        try store().rehearse { db in
            let networks = Dictionary(uniqueKeysWithValues: try db.networks().map { ($0.spec.name, $0) })
            return try Allocator(db: db, home: home, host: host).cards(spec, networks: networks, having: old)
        }
    }
}

/// A machine's record without anything given out.
func record(_ spec: MachineSpec, project: String? = "/p", cards: [CardView] = []) -> MachineRecord {
    var image = Image(name: spec.image, boot: .disk, origin: "test")
    image.identifier = hexadecimal(SHA256.digest(spec.image))
    return MachineRecord(
        name: spec.name, id: hexadecimal(SHA256.digest(spec.name).prefix(16)), project: project, spec: spec,
        image: image, machineType: "pc-q35-7.2", uid: 1, made: 1, phase: .ready,
        cards: cards)
}

/// A machine on network lab.
func web(_ name: String = "web", publish: [PublishSpec] = []) -> MachineSpec {
    MachineSpec(name: name, image: "tiny", networks: [NICSpec(network: "lab")], publish: publish)
}

/// A network with a subnet that hosts rarely have.
func lab(_ subnet: String = "198.18.77.0/24") -> NetworkSpec { NetworkSpec(name: "lab", subnet: IPv4Network(subnet)) }

/// The UrsaError that `body` throws, nil when it throws none.
func error(_ body: () throws -> Void) -> UrsaError? {
    do { try body() } catch { return error as? UrsaError }
    return nil
}

/// A TCP port of 127.0.0.1 that somebody listens on.
final class ListeningPort {
    let port: UInt16
    private let fd: Int32

    init() throws {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let fd = fd
        let result = withUnsafeMutablePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                bind(fd, name, size) == 0 && listen(fd, 1) == 0 ? getsockname(fd, name, &size) : -1
            }
        }
        guard result == 0 else { throw UrsaError.system(.current, "listen on a port") }
        port = UInt16(bigEndian: name.sin_port)
    }

    deinit { close(fd) }
}
