import Glibc
import Testing
import UrsaBase

private let isRoot = geteuid() == 0

/// `sh` is the program under test here, given its script as one argument; nothing of a person's reaches it.
private func shell(_ script: String) -> Program { Program("/bin/sh", ["-c", script]) }

@Suite("Programs")
struct ProgramTests {
    @Test("output, errors and exit status come back")
    func run() throws {
        let result = try shell("echo out; echo err >&2; exit 3").run()
        #expect(result.text == "out\n")
        #expect(result.errors == "err\n")
        #expect(result.end == .exited(3))
        #expect(result.end.description == "exited with status 3")
    }

    @Test("arguments arrive as they are, whatever they hold")
    func arguments() throws {
        let arguments = ["$(id)", "a b", "", "\"'`\\", "ü\n", "-n"]
        let result = try Program("/usr/bin/printf", ["%s|"] + arguments).run()
        #expect(result.text == arguments.map { $0 + "|" }.joined())
        #expect(error { () throws(UrsaError) in _ = try Program("/bin/echo", ["a\0b"]).run() }?.code == .usage)
    }

    @Test("input larger than a pipe is read whole")
    func input() throws {
        let input = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let result = try Program("cat", []).run(input: input)
        #expect(result.output == input)
    }

    @Test("a program that does not read its input is no trouble")
    func inputUnread() throws {
        let result = try shell("exit 0").run(input: [UInt8](repeating: 65, count: 1 << 20))
        #expect(result.end.isSuccess)
        #expect(
            try shell("exec <&-; sleep 0.05; echo done").run(input: [UInt8](repeating: 65, count: 1 << 20)).text
                == "done\n")
    }

    @Test("without input, standard input is empty")
    func noInput() throws { #expect(try Program("cat", []).run().text == "") }

    @Test("a program that takes too long is killed", .timeLimit(.minutes(120)))
    func timeout() throws {
        let start = Deadline.now
        let found = error { () throws(UrsaError) in _ = try Program("sleep", ["60"]).run(seconds: 0.2) }
        #expect(found?.code == .timeout)
        let closed = error { () throws(UrsaError) in _ = try shell("exec >&- 2>&-; exec sleep 60").run(seconds: 0.2) }
        #expect(closed?.code == .timeout)
        #expect(Deadline.now.seconds(since: start) < 30)
    }

    @Test("a program that ends is done, though what it left behind keeps its output open", .timeLimit(.minutes(120)))
    func orphans() throws {
        let start = Deadline.now
        let result = try shell("sleep 100 & echo $!; exit 0").run(seconds: 60)
        let orphan = try #require(ProcessIdentity(running: Int32(result.text.trimmed) ?? -1))
        defer { orphan.signal(SIGKILL) }
        #expect(result.end.isSuccess)
        #expect(Deadline.now.seconds(since: start) < 50)
    }

    @Test("a program gone wild is stopped at the limit")
    func limit() {
        let found = error { () throws(UrsaError) in _ = try Program("yes", []).run(seconds: 30, limit: 100_000) }
        #expect(found?.message.contains("wrote more than") == true)
    }

    @Test("a signal's end is told as one")
    func signalled() throws {
        let end = try shell("kill -TERM $$").run().end
        #expect(end == .signalled(SIGTERM))
        #expect(end.description == "was killed by signal 15 (Terminated)")
    }

    @Test("a missing program, folder or right is told with its step")
    func failures() {
        #expect(error { () throws(UrsaError) in _ = try Program("no-such-program-here", []).run() }?.code == .notFound)
        #expect(error { () throws(UrsaError) in _ = try Program("/etc/passwd", []).run() } != nil)
        var program = Program("true", [])
        program.directory = "/no/such/folder"
        #expect(error { () throws(UrsaError) in _ = try program.run() }?.message.contains("chdir") == true)
        program.directory = nil
        program.descriptors = [5: 9999]
        #expect(error { () throws(UrsaError) in _ = try program.run() }?.message.contains("F_DUPFD") == true)
    }

    @Test("exactly the named descriptors are there, also crosswise")
    func descriptors() throws {
        let folder = try TemporaryFolder()
        try File.replace(folder.path + "/a", text: "A")
        try File.replace(folder.path + "/b", text: "B")
        let a = try File.open(folder.path + "/a", O_RDONLY)
        let b = try File.open(folder.path + "/b", O_RDONLY)
        let leak = dup(a.raw)  // without close-on-exec
        defer { close(leak) }
        var program = shell("cat /proc/self/fd/\(b.raw) /proc/self/fd/\(a.raw); cd /proc/self/fd; echo; echo *")
        program.descriptors = [a.raw: b.raw, b.raw: a.raw]
        let lines = try program.run().text.split(separator: "\n")
        #expect(lines.first == "AB")
        let open = Set(lines.last.map { $0.split(separator: " ").compactMap { Int32($0) } } ?? [])
        #expect(open.isSuperset(of: [0, 1, 2, a.raw, b.raw]))
        #expect(!open.contains(leak))
    }

    @Test("standard descriptors that nobody names are /dev/null, and nothing of the caller's leaks")
    func quiet() throws {
        let folder = try TemporaryFolder()
        let file = try File.open(folder.path + "/list", O_RDWR | O_CREAT)
        var program = Program("/bin/ls", ["-l", "/proc/self/fd"])
        program.descriptors = [1: file.raw]
        let child = try program.start()
        #expect(try child.wait() == .exited(0))
        let text = try File.readText(folder.path + "/list")
        #expect(text.contains("0 -> /dev/null"))
        #expect(text.contains("2 -> /dev/null"))
    }

    @Test("environment, folder, session, file size and privileges are as asked")
    func surroundings() throws {
        let folder = try TemporaryFolder()
        var program = shell(
            "pwd; env; grep NoNewPrivs /proc/self/status; cut -d' ' -f1,6 /proc/self/stat; grep SigBlk /proc/self/status"
        )
        program.environment = ["A=b c", "PATH=/usr/bin:/bin"]
        program.directory = folder.path
        program.newSession = true
        program.noNewPrivileges = true
        let text = try program.run().text
        #expect(text.contains(folder.path))
        #expect(text.contains("A=b c"))
        #expect(!text.contains("HOME="))
        #expect(text.contains("NoNewPrivs:\t1"))
        #expect(text.contains("SigBlk:\t0000000000000000"))
        var writer = Program("dd", ["if=/dev/zero", "of=\(folder.path)/big", "bs=1000", "count=10"])
        writer.fileSizeLimit = 4096
        let end = try writer.run()
        #expect(end.errors.contains("File too large"))
    }

    @Test("a program becomes the user named, with that user's groups only", .enabled(if: isRoot, "needs root"))
    func user() throws {
        var program = Program("id", [])
        program.user = Program.User(uid: 65534, gid: 65534, groups: [7, 8])
        let text = try program.run().text
        #expect(text.hasPrefix("uid=65534"))
        #expect(text.contains("gid=65534"))
        #expect(text.contains("groups=65534") && text.contains("7") && text.contains("8") && !text.contains("0(root)"))
    }

    @Test(
        "a program dies with the thread that started it", .enabled(if: isRoot, "needs root to change the user"),
        arguments: [false, true])
    func diesWithParent(_ changesUser: Bool) throws {
        let identity = try OSThread.run { () throws(UrsaError) -> ProcessIdentity? in
            var program = Program("sleep", ["60"])
            program.diesWithParent = true
            if changesUser { program.user = Program.User(uid: 65534, gid: 65534) }
            return ProcessIdentity(running: try program.start().pid)
        }
        let sleeper = try #require(identity)
        #expect(eventually { !sleeper.isAlive })
        sleeper.signal(SIGKILL)
        waitpid(sleeper.pid, nil, 0)
    }

    @Test("a failing command is told in its own words")
    func require() throws {
        #expect(try shell("echo fine").require("say so") == "fine\n")
        let found = error { () throws(UrsaError) in try shell("echo no such thing >&2; exit 1").require("find it") }
        #expect(found?.message == "can't find it: no such thing")
        let silent = error { () throws(UrsaError) in try Program("false", []).require("find it") }
        #expect(silent?.message == "can't find it: false exited with status 1")
    }

    @Test("a process is known by pid and start time")
    func identity() throws {
        #expect(ProcessIdentity.current.isAlive)
        #expect(ProcessIdentity(running: 0) == nil)
        #expect(ProcessIdentity(running: -1) == nil)
        #expect(ProcessIdentity(running: .max) == nil)
        let child = try Program("sleep", ["60"]).start()
        let identity = try #require(ProcessIdentity(running: child.pid))
        #expect(!ProcessIdentity(pid: identity.pid, startTime: identity.startTime + 1).isAlive)
        #expect(!ProcessIdentity(pid: identity.pid, startTime: identity.startTime + 1).signal(SIGKILL))
        #expect(!identity.waitForEnd(until: .after(seconds: 0.05)))
        #expect(identity.signal(SIGKILL))
        #expect(identity.waitForEnd(until: .after(seconds: 10)))
        #expect(!identity.isAlive, "a zombie is no running process")
        #expect(try child.wait() == .signalled(SIGKILL))
        #expect(!identity.signal(SIGKILL))
    }
}

@Suite("Accounts")
struct AccountsTests {
    @Test("users and groups are found by whole names and numbers, and odd lines are passed over")
    func files() throws {
        var template = Array("/tmp/ursa-accounts-XXXXXX".utf8CString)
        let fd = OwnedFD(mkstemp(&template))
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { unlink(path) }
        _ = fd.raw
        try File.replace(path, text: "root:x:0:0\nbroken\n\n:::\nkvm:x:104:a,b\nkvm2:x:1040:\nbig:x:99999999999:\n")
        #expect(Accounts.hasUser("kvm", in: path) && !Accounts.hasUser("kv", in: path))
        #expect(Accounts.groupName(104, in: path) == "kvm" && Accounts.groupName(0, in: path) == "root")
        #expect(Accounts.groupName(10, in: path) == nil && Accounts.groupName(0, in: path + "-none") == nil)
        #expect(Accounts.hasUser("root"))
    }
}
