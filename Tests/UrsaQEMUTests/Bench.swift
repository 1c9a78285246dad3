import Glibc
import UrsaBase
import UrsaKeeper

/// A folder of the test's own in which one machine may run, and the certain end of both.
final class Bench {
    let folder: String

    init() throws {
        var template = Array("/tmp/ursa-test-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw UrsaError.system(.current, "make a folder") }
        folder = String(cString: made)
    }

    deinit {
        if let status = try? MachineStatus.read(folder: folder) {
            for process in [status.keeper, status.engine].compactMap({ $0 }) where status.boot == bootIdentifier() {
                process.signal(SIGKILL)
                _ = process.waitForEnd(until: .after(seconds: 5))
            }
        }
        try? File.removeTree(folder)
    }

    /// The keeper as built beside the tests.
    static let keeperProgram: String = {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { space in
            space.baseAddress.map { readlink("/proc/self/exe", $0, space.count) } ?? -1
        }
        return Path.parent(count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : "") + "/ursa-keeper"
    }()

    /// Makes an image by qemu-img and returns its path.
    func image(_ name: String, _ arguments: [String], size: String) throws -> String {
        let path = folder + "/" + name
        try Program("qemu-img", arguments + [path, size]).require("make an image")
        return path
    }

    func start(_ launch: KeeperLaunch) throws(UrsaError) -> MachineStatus {
        try Keeper.start(launch, folder: folder, keeperProgram: Bench.keeperProgram, seconds: 30)
    }

    /// A TCP port that was free a moment ago.
    func freePort() -> UInt16 {
        let fd = OwnedFD(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                _ = bind(fd.raw, pointer, length)
                _ = getsockname(fd.raw, pointer, &length)
            }
        }
        return UInt16(bigEndian: address.sin_port)
    }
}
