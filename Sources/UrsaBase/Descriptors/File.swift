import CLinux
public import Glibc

/// Files by path: whole-file reads with a limit, replacement that can't be seen half done, folders.
public enum File {
    /// Opens a path close-on-exec. `flags` as of open(2).
    public static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws(UrsaError) -> OwnedFD {
        OwnedFD(try retrying("open \(path)") { Glibc.open(path, flags | O_CLOEXEC, mode) })
    }

    /// The whole content of a file. Fails when it is larger than `limit` bytes, so a wrong path can't eat the memory.
    public static func read(_ path: String, limit: Int = 16 << 20) throws(UrsaError) -> [UInt8] {
        let fd = try open(path, O_RDONLY)
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = try retrying("read \(path)") { Glibc.read(fd.raw, &buffer, buffer.count) }
            if count == 0 { return content }
            content.append(contentsOf: buffer[0..<count])
            guard content.count <= limit else {
                throw UrsaError(.io, "\(path) is larger than \(ByteCount(UInt64(limit)))")
            }
        }
    }

    /// The file as text; bytes that are not UTF-8 become U+FFFD.
    public static func readText(_ path: String, limit: Int = 16 << 20) throws(UrsaError) -> String {
        String(decoding: try read(path, limit: limit), as: UTF8.self)
    }

    /// The file as text without surrounding white space, or nil when it can't be read (for /proc and /sys).
    public static func peek(_ path: String) -> String? {
        guard let text = try? readText(path) else { return nil }
        return text.trimmed
    }

    /// Replaces a file's content so that readers see the old or the new, never a part, even after a crash.
    /// Without `durable` the new content may be lost with the host's power, but costs no wait for the disk.
    public static func replace(
        _ path: String, _ content: [UInt8], mode: mode_t = 0o600, durable: Bool = true
    ) throws(UrsaError) {
        let temporary = "\(path).new-\(getpid())-\(clinux_gettid())"
        do {
            let fd = try open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
            try retrying("set the mode of \(path)") { fchmod(fd.raw, mode) }
            try fd.writeAll(content, to: path)
            if durable { try retrying("write \(path) to disk") { fdatasync(fd.raw) } }
            try retrying("replace \(path)") { rename(temporary, path) }
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Replaces a file's content by text; see `replace(_:_:mode:)`.
    public static func replace(_ path: String, text: String, mode: mode_t = 0o600) throws(UrsaError) {
        try replace(path, Array(text.utf8), mode: mode)
    }

    /// Writes into an existing file, as /proc and /sys want it: one write, no new file.
    public static func write(_ path: String, text: String) throws(UrsaError) {
        let fd = try open(path, O_WRONLY)
        try fd.writeAll(Array(text.utf8), to: path)
    }

    /// Appends one record with a single write, which the kernel keeps whole among concurrent writers.
    public static func append(_ path: String, _ content: [UInt8], mode: mode_t = 0o600) throws(UrsaError) {
        let fd = try open(path, O_WRONLY | O_APPEND | O_CREAT, mode: mode)
        try fd.writeAll(content, to: path)
    }

    /// Whether a path exists (following links).
    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// stat(2) of a path, or nil when there is nothing.
    public static func status(_ path: String) -> stat? {
        var result = stat()
        return stat(path, &result) == 0 ? result : nil
    }

    /// The path without links and dots, or nil when there is nothing.
    public static func realPath(_ path: String) -> String? {
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        return String(cString: found)
    }

    /// Whether a path is a folder.
    public static func isDirectory(_ path: String) -> Bool {
        status(path).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
    }

    /// The names in a folder, sorted, without `.` and `..`; empty when it does not exist.
    public static func list(_ path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Makes a folder and its parents; an existing folder is fine.
    public static func makeDirectory(_ path: String, mode: mode_t = 0o755) throws(UrsaError) {
        if isDirectory(path) { return }
        let parent = Path.parent(path)
        if parent != path, !parent.isEmpty { try makeDirectory(parent, mode: mode) }
        if mkdir(path, mode) != 0 {
            let error = Errno.current
            if error.code == EEXIST, isDirectory(path) { return }
            throw UrsaError.system(error, "make the folder \(path)")
        }
        chmod(path, mode)  // the umask must not decide who can pass through
    }

    /// Removes a file; a missing one is fine.
    public static func remove(_ path: String) throws(UrsaError) {
        if unlink(path) != 0, errno != ENOENT { throw UrsaError.system(.current, "remove \(path)") }
    }

    /// Removes a folder with all that is in it, never following links; a missing one is fine.
    public static func removeTree(_ path: String) throws(UrsaError) {
        var info = stat()
        guard lstat(path, &info) == 0 else { return }
        guard info.st_mode & S_IFMT == S_IFDIR else { return try remove(path) }
        for name in list(path) { try removeTree(path + "/" + name) }
        if rmdir(path) != 0, errno != ENOENT { throw UrsaError.system(.current, "remove the folder \(path)") }
    }
}

/// Path arithmetic without touching the disk.
public enum Path {
    /// The folder part: `/a/b` gives `/a`, `a` gives `.`, `/` gives `/`.
    public static func parent(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The last component.
    public static func name(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return path }
        return String(path[path.index(after: slash)...])
    }

    /// `path` as an absolute path, relative ones taken from the working directory.
    public static func absolute(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        var buffer = [CChar](repeating: 0, count: 4096)
        guard getcwd(&buffer, buffer.count) != nil else { return path }
        let current = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return path == "." ? current : current + "/" + path
    }

    /// The full path of a program found in PATH and the system folders, or nil.
    public static func program(_ name: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        let search = getenv("PATH").map { String(cString: $0) } ?? ""
        for folder in search.split(separator: ":").map(String.init) + [
            "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin",
        ] {
            let candidate = folder + "/" + name
            if access(candidate, X_OK) == 0, !File.isDirectory(candidate) { return candidate }
        }
        return nil
    }
}

extension OwnedFD {
    /// Writes all bytes, waiting where the other side is slow. `name` is used in errors.
    public func writeAll(_ bytes: [UInt8], to name: String) throws(UrsaError) {
        try writeAllBytes(raw, bytes, name)
    }
}

/// Writes all bytes to a descriptor, polling where it is nonblocking. `name` is used in errors.
public func writeAllBytes(_ fd: Int32, _ bytes: [UInt8], _ name: String) throws(UrsaError) {
    var offset = 0
    while offset < bytes.count {
        let count = bytes.withUnsafeBytes { buffer in
            Glibc.write(fd, buffer.baseAddress.map { $0 + offset }, buffer.count - offset)
        }
        if count >= 0 { offset += count; continue }
        switch errno {
        case EINTR: continue
        case EAGAIN:
            var waiting = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
            _ = poll(&waiting, 1, 1000)
        default: throw UrsaError.system(.current, "write \(name)")
        }
    }
}
