import CLinux
import Glibc
import UrsaBase

/// Runs the built `ursa` in a world of its own: a temporary folder with a home, a working folder and a TMPDIR.
final class CommandRunner {
    /// What a run left.
    struct Result {
        let end: ProcessEnd
        let output: String
        let errors: String
        /// Lines of standard error.
        var errorLines: [Substring] { errors.split(separator: "\n") }
    }

    /// The temporary folder, removed with this value.
    let folder: String
    /// `URSA_HOME` of the runs; not made beforehand.
    var home: String { folder + "/state" }
    /// Working folder of the runs.
    var work: String { folder + "/work" }

    init() throws {
        var template = Array("/tmp/ursa-command-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw UrsaError.system(.current, "make a temporary folder") }
        folder = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        for name in ["work", "tmp", "person", "out"] { try File.makeDirectory(folder + "/" + name) }
    }

    deinit { try? File.removeTree(folder) }

    /// The program under test: `URSA_BINARY`, else the one that was built beside the tests.
    static let binary: String = {
        if let path = getenv("URSA_BINARY") { return String(cString: path) }
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let tests = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let beside = Path.parent(tests) + "/ursa"
        if File.exists(beside) { return beside }
        return Path.parent(Path.parent(Path.parent(#filePath))) + "/.build/debug/ursa"
    }()

    /// Runs with arguments of any bytes but NUL.
    func run(bytes arguments: [[UInt8]], input: String = "/dev/null", seconds: Double = 20) throws -> Result {
        let out = try File.open(folder + "/out/1", O_RDWR | O_CREAT | O_TRUNC)
        let err = try File.open(folder + "/out/2", O_RDWR | O_CREAT | O_TRUNC)
        let stdin = try File.open(input, O_RDONLY)
        let environment = [
            "URSA_HOME=\(home)", "HOME=\(folder)/person", "TMPDIR=\(folder)/tmp", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=xterm", "SWIFT_BACKTRACE=enable=no",
        ]
        let words = [Array(CommandRunner.binary.utf8)] + arguments
        let argv = words.map { word in strdup(word.map { CChar(bitPattern: $0) } + [0]) } + [nil]
        let envp = environment.map { strdup($0) } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        let sources = [stdin.raw, out.raw, err.raw]
        let targets: [Int32] = [0, 1, 2]
        var step: UnsafePointer<CChar>?
        let pid = CommandRunner.binary.withCString { path in
            work.withCString { folder in
                sources.withUnsafeBufferPointer { sources in
                    targets.withUnsafeBufferPointer { targets in
                        argv.withUnsafeBufferPointer { argv in
                            envp.withUnsafeBufferPointer { envp in
                                var options = clinux_spawn()
                                options.path = path
                                options.argv = UnsafePointer(argv.baseAddress)
                                options.envp = UnsafePointer(envp.baseAddress)
                                options.fd_source = sources.baseAddress
                                options.fd_target = targets.baseAddress
                                options.fd_count = 3
                                options.netns_fd = -1
                                options.directory = folder
                                return clinux_spawn(&options, &step)
                            }
                        }
                    }
                }
            }
        }
        let pidfd = OwnedFD(try check(clinux_pidfd_open(try check(pid, "start ursa")), "watch ursa"))
        var waiting = pollfd(fd: pidfd.raw, events: Int16(POLLIN), revents: 0)
        if poll(&waiting, 1, Int32(seconds * 1000)) <= 0 { _ = clinux_pidfd_send_signal(pidfd.raw, SIGKILL) }
        var code: Int32 = 0
        var status: Int32 = 0
        try check(clinux_wait(pidfd.raw, 0, &code, &status), "wait for ursa")
        return Result(
            end: code == CLD_EXITED ? .exited(status) : .signalled(status),
            output: try File.readText(folder + "/out/1"),
            errors: try File.readText(folder + "/out/2"))
    }

    /// Runs with arguments of text.
    func run(_ arguments: String..., input: String = "/dev/null") throws -> Result {
        try run(bytes: arguments.map { Array($0.utf8) }, input: input)
    }

    /// Every path below the folder that is not the state's or the runner's own.
    func strayFiles() -> [String] {
        func walk(_ path: String) -> [String] {
            File.list(path).flatMap { name in [path + "/" + name] + walk(path + "/" + name) }
        }
        return ["work", "tmp", "person"].flatMap { walk(folder + "/" + $0) }
    }
}

/// One wrong command line; shown by its words in the test's name.
struct WrongLine: Sendable, CustomStringConvertible {
    let arguments: [[UInt8]]
    /// The statuses that are right for it.
    let statuses: Set<Int32>

    init(_ statuses: Set<Int32>, _ arguments: String...) {
        self.statuses = statuses
        self.arguments = arguments.map { Array($0.utf8) }
    }
    init(_ statuses: Set<Int32>, bytes: [[UInt8]]) {
        self.statuses = statuses
        arguments = bytes
    }

    var description: String {
        arguments.map { argument in
            let text = String(decoding: argument.prefix(40), as: UTF8.self)
            return text.unicodeScalars.map { $0.value < 32 ? "·" : String($0) }.joined()
        }.joined(separator: " ")
    }
}
