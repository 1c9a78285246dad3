import Glibc
import UrsaBase
public import UrsaKVM

/// Where the doctor looks. The defaults are this host; tests name a folder with a fake tree instead.
public struct HostFacts: Sendable {
    /// Room on a file system.
    public struct Space: Sendable, Hashable {
        /// Bytes free for this user.
        public var bytes: UInt64
        /// Files that can still be made, nil where the file system has no such limit.
        public var files: UInt64?
        /// Identity of the file system.
        public var device: UInt64
        /// Room as statvfs(3) tells it.
        public init(bytes: UInt64, files: UInt64? = nil, device: UInt64 = 0) {
            self.bytes = bytes
            self.files = files
            self.device = device
        }
    }

    /// Put before every path of the host: `/proc`, `/sys`, `/dev`, `/etc`, `/lib/modules`, program folders.
    public var root: String
    /// Judges /dev/kvm.
    public var probe: @Sendable () -> KVMVerdict
    /// Measures the room at an existing path.
    public var space: @Sendable (String) -> Space?
    /// The state folder; set by `Doctor`.
    public internal(set) var home = "/var/lib/ursa"
    /// The folder of sockets and locks; set by `Doctor`.
    public internal(set) var run = "/run/ursa"

    /// This host, or the tree below `root`.
    public init(
        root: String = "", probe: @escaping @Sendable () -> KVMVerdict = { KVMProbe.run() },
        space: @escaping @Sendable (String) -> Space? = HostFacts.measuredSpace
    ) {
        self.root = root
        self.probe = probe
        self.space = space
    }

    /// Room of the file system of `path` by statvfs(3), nil when there is no such path.
    public static let measuredSpace: @Sendable (String) -> Space? = { path in
        var result = statvfs()
        guard statvfs(path, &result) == 0, let status = File.status(path) else { return nil }
        let (bytes, overflow) = UInt64(result.f_bavail).multipliedReportingOverflow(by: UInt64(result.f_frsize))
        return Space(
            bytes: overflow ? .max : bytes, files: result.f_files == 0 ? nil : UInt64(result.f_favail),
            device: UInt64(status.st_dev))
    }

    // MARK: - Files

    /// A path of the host.
    func path(_ path: String) -> String { root + path }
    /// Text of a small file without surrounding white space, nil when it can't be read.
    func peek(_ path: String) -> String? { File.peek(root + path) }
    /// Whether a path exists.
    func exists(_ path: String) -> Bool { File.exists(root + path) }
    /// Names in a folder.
    func list(_ path: String) -> [String] { File.list(root + path) }
    /// Lines of a file, none when it can't be read.
    func lines(_ path: String) -> [Substring] {
        peek(path)?.split(whereSeparator: \.isNewline) ?? []
    }
    /// A table of /proc/net, of the calling thread's own network namespace.
    func networkTable(_ name: String) -> [Substring] {
        lines(exists("/proc/thread-self/net/\(name)") ? "/proc/thread-self/net/\(name)" : "/proc/net/\(name)")
    }
    /// Release of the running kernel, `6.1.0-18-amd64`.
    var kernelRelease: String { peek("/proc/sys/kernel/osrelease") ?? "" }

    // MARK: - Programs

    /// Full path of a program, nil when it is not installed.
    func program(_ name: String) -> String? {
        if root.isEmpty { return Path.program(name) }
        let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        return folders.lazy.compactMap { Path.program(path($0) + "/" + name) }.first
    }

    /// Whether a program of ours stands where `ursa` looks for it: beside itself, or in ../libexec/ursa.
    func hasOwnProgram(_ name: String) -> Bool {
        guard root.isEmpty else { return program(name) != nil }
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = max(0, readlink("/proc/self/exe", &buffer, buffer.count - 1))
        let folder = Path.parent(String(decoding: buffer[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
        let places = ["\(folder)/\(name)", "\(Path.parent(folder))/libexec/ursa/\(name)"]
        return places.contains { (place: String) in access(place, X_OK) == 0 }
    }

    /// What a program prints; nil when it is missing, fails, or takes more than 20 seconds.
    func output(_ name: String, _ arguments: [String]) -> Program.Output? {
        guard let path = program(name) else { return nil }
        return try? Program(path, arguments).run(seconds: 20, limit: 16 << 20)
    }

    // MARK: - Remedies

    /// A command for a shell, each word quoted where it needs it; `sudo` in front when the caller is not root.
    func command(_ words: String...) -> String {
        let line = words.map(HostFacts.quoted).joined(separator: " ")
        return account.uid == 0 ? line : "sudo " + line
    }

    /// The command that installs a Debian package; nil on a host without apt.
    func install(_ package: String) -> String? {
        program("apt-get") == nil ? nil : command("apt-get", "install", "-y", package)
    }

    /// The word for a POSIX shell.
    static func quoted(_ word: String) -> String {
        let plain = word.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "_@%+=:,./-".utf8.contains(byte)
            }
        }
        if plain, !word.isEmpty { return word }
        return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
    }
}
