import Glibc
import Testing
import UrsaBase

@Suite("Files, locks and sockets")
struct DescriptorTests {
    @Test("a file is replaced whole, with its mode, and leaves no other file")
    func replace() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/state"
        try File.replace(path, text: "one", mode: 0o640)
        try File.replace(path, text: "two", mode: 0o600)
        #expect(try File.readText(path) == "two")
        #expect(File.status(path).map { $0.st_mode & 0o777 } == 0o600)
        #expect(File.list(folder.path) == ["state"])
    }

    @Test("readers see the old content or the new, never a part")
    func replaceAtomically() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/state"
        let contents = ["a", "b"].map { String(repeating: $0, count: 100_000) }
        try File.replace(path, text: contents[0])
        let writer = try OSThread {
            for round in 0..<100 { try? File.replace(path, text: contents[round % 2]) }
        }
        for _ in 0..<200 { #expect(contents.contains(try File.readText(path))) }
        writer.join()
    }

    @Test("a failed replacement leaves the old file and no other")
    func replaceFails() throws {
        let folder = try TemporaryFolder()
        try File.makeDirectory(folder.path + "/state/inner")
        #expect(error { () throws(UrsaError) in try File.replace(folder.path + "/state", text: "x") } != nil)
        #expect(File.list(folder.path) == ["state"])
        #expect(
            error { () throws(UrsaError) in try File.replace(folder.path + "/none/x", text: "x") }?.code == .notFound)
    }

    @Test("reading stops at the limit")
    func limit() throws {
        #expect(
            error { () throws(UrsaError) in _ = try File.read("/dev/zero", limit: 1000) }?.message.contains("larger")
                == true)
        #expect(File.peek("/no/such/file") == nil)
        #expect(error { () throws(UrsaError) in _ = try File.read("/") } != nil)
    }

    @Test("records appended by many at once stay whole")
    func append() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/log"
        let threads = try [0, 1, 2, 3].map { writer in
            try OSThread {
                let record = Array((String(repeating: "\(writer)", count: 200) + "\n").utf8)
                for _ in 0..<100 { try? File.append(path, record) }
            }
        }
        for thread in threads { thread.join() }
        let lines = try File.readText(path).split(separator: "\n")
        #expect(lines.count == 400)
        #expect(lines.allSatisfy { $0.count == 200 && Set($0).count == 1 })
    }

    @Test("a tree is removed without following links out of it")
    func removeTree() throws {
        let folder = try TemporaryFolder()
        try File.makeDirectory(folder.path + "/kept")
        try File.replace(folder.path + "/kept/file", text: "x")
        try File.makeDirectory(folder.path + "/gone/a/b")
        #expect(symlink(folder.path + "/kept", folder.path + "/gone/a/link") == 0)
        #expect(symlink("/nowhere", folder.path + "/gone/dangling") == 0)
        try File.removeTree(folder.path + "/gone")
        try File.removeTree(folder.path + "/gone")
        #expect(File.list(folder.path) == ["kept"])
        #expect(try File.readText(folder.path + "/kept/file") == "x")
    }

    @Test("paths")
    func paths() {
        for (path, parent, name) in [
            ("/a/b", "/a", "b"), ("a", ".", "a"), ("/", "/", ""), ("/a", "/", "a"), ("", ".", ""),
        ] {
            #expect(Path.parent(path) == parent)
            #expect(Path.name(path) == name)
        }
        #expect(Path.absolute("/x") == "/x")
        #expect(Path.absolute("x").hasPrefix("/"))
        #expect(Path.program("sh")?.hasSuffix("/sh") == true)
        #expect(Path.program("no-such-program-here") == nil)
    }

    @Test("a lock is exclusive, and free again when its owner is gone")
    func lock() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/lock"
        do {
            let lock = try FileLock(path)
            #expect(try isLocked(path))
            _ = consume lock
        }
        #expect(try !isLocked(path))
    }

    @Test("a lock keeps threads apart, and one that waits gets it")
    func lockThreads() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/lock"
        let counter = Locked(Counter())
        let threads = try [1, 2, 3, 4].map { _ in
            try OSThread { for _ in 0..<25 { try? enter(path, counter) } }
        }
        for thread in threads { thread.join() }
        #expect(counter.withLock { $0.most } == 1)
        #expect(counter.withLock { $0.entries } == 100)
    }

    @Test("a lock is gone when its process is killed")
    func lockKilled() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/lock"
        // The child inherits the open description that the lock belongs to, and lives with it alone.
        var fd: OwnedFD? = try File.open(path, O_RDWR | O_CREAT)
        var lock = flock(l_type: Int16(F_WRLCK), l_whence: Int16(SEEK_SET), l_start: 0, l_len: 0, l_pid: 0)
        let raw = fd?.raw ?? -1
        #expect(fcntl(raw, 37, &lock) == 0)  // F_OFD_SETLK, fcntl(2)
        var program = Program("sleep", ["60"])
        program.descriptors = [3: raw]
        let child = try program.start()
        fd = nil
        #expect(try isLocked(path))
        child.signal(SIGKILL)
        #expect(try child.wait() == .signalled(SIGKILL))
        #expect(try !isLocked(path))
    }

    @Test("sockets work at paths longer than sockaddr_un holds")
    func longSocketPath() throws {
        let folder = try TemporaryFolder()
        var path = folder.path
        while path.utf8.count < 400 { path += "/" + String(repeating: "d", count: 50) }
        try File.makeDirectory(path)
        path += "/control.sock"
        #expect(error { () throws(UrsaError) in _ = try UnixSocket.connect(path) }?.code == .notFound)
        let listener = try UnixSocket.listen(path, mode: 0o660)
        #expect(File.status(path).map { $0.st_mode & 0o777 } == 0o660)
        let client = try UnixSocket.connect(path)
        let server = OwnedFD(accept(listener.raw, nil, nil))
        try client.writeAll(Array("hello".utf8), to: "server")
        var buffer = [UInt8](repeating: 0, count: 16)
        #expect(read(server.raw, &buffer, buffer.count) == 5)
        #expect(buffer.prefix(5).elementsEqual("hello".utf8))
        let again = try UnixSocket.listen(path)
        #expect(again.raw >= 0, "a socket left by a dead process is replaced")
    }

    @Test("a socket that nobody listens at any more is not found")
    func deadSocket() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/s"
        do { _ = try UnixSocket.listen(path) }
        #expect(File.exists(path))
        #expect(error { () throws(UrsaError) in _ = try UnixSocket.connect(path) }?.code == .notFound)
        let long = folder.path + "/" + String(repeating: "n", count: 200)
        #expect(error { () throws(UrsaError) in _ = try UnixSocket.listen(long) } != nil)
    }

    @Test("a descriptor closes with its owner, a duplicate lives on")
    func ownership() throws {
        let pipe = try makePipe()
        let raw: Int32
        let copy: OwnedFD
        do {
            let reader = pipe.read
            raw = reader.raw
            copy = try reader.duplicate()
            #expect(fcntl(raw, F_GETFD) & FD_CLOEXEC != 0)
        }
        #expect(fcntl(copy.raw, F_GETFD) & FD_CLOEXEC != 0)
        try copy.setNonBlocking()
        var byte: UInt8 = 0
        #expect(read(copy.raw, &byte, 1) == -1 && errno == EAGAIN)
        let released = copy.release()
        #expect(close(released) == 0)
        #expect(pipe.write.raw != raw)
    }
}

/// How many threads are inside a lock.
private struct Counter {
    var inside = 0
    var most = 0
    var entries = 0
    mutating func enter() {
        inside += 1
        entries += 1
        most = max(most, inside)
    }
}

/// Takes the lock at `path`, counts itself in and out, and lets it go.
private func enter(_ path: String, _ counter: Locked<Counter>) throws(UrsaError) {
    let lock = try FileLock(path)
    counter.withLock { $0.enter() }
    sched_yield()
    counter.withLock { $0.inside -= 1 }
    _ = consume lock
}
