import Glibc
import UrsaBase

/// Fetches one file over http or https, by curl, so that a broken transfer goes on where it stopped.
///
/// What came so far is kept in the store as `downloads/DIGEST.part`, DIGEST being the address's; beside it `.tag` says
/// which version of the file it is part of. A part whose version can't be shown to be the server's present one is thrown
/// away, and so is one whose checksum is wrong at the end: a resume never glues two files together.
struct Download: Sendable {
    let store: StoreFolder
    let url: String
    /// 64 lower-case hexadecimal digits, or nil.
    let sha256: String?
    let progress: ProgressHandler

    /// A file to fetch.
    ///
    /// - Throws: `.usage` for an address that is not http or https, for http without a checksum, for a bad checksum.
    init(store: StoreFolder, url: String, sha256: String?, progress: @escaping ProgressHandler) throws(UrsaError) {
        let lower = url.lowercased()
        let isSecure = lower.hasPrefix("https://")
        guard isSecure || lower.hasPrefix("http://"), url.utf8.count <= 4096,
            url.utf8.allSatisfy({ $0 > 32 && $0 < 127 })
        else {
            throw UrsaError(
                .usage, "\"\(url.prefix(200))\" is no address that images come from", remedy: "give an https:// address"
            )
        }
        if let sha256, !FileDigest.isSHA256(sha256) {
            throw UrsaError(.usage, "a SHA-256 has 64 hexadecimal digits", place: sha256)
        }
        guard isSecure || sha256 != nil else {
            throw UrsaError(
                .usage, "http can be changed on the way, so it needs a checksum", place: url,
                remedy: "use https, or state the file's SHA-256")
        }
        self.store = store
        self.url = url
        self.sha256 = sha256?.lowercased()
        self.progress = progress
    }

    /// What a server says about a file before it is fetched.
    struct Description: Hashable, Sendable {
        /// Its size in bytes, nil when not told.
        var size: UInt64?
        /// What tells this version of the file from others: a strong ETag, else the time of change with the size.
        var tag: String?
        /// What a resumed request is tied to (If-Range): the server then sends the rest of this version or all of another.
        var validator: String?
        /// Whether a transfer may start in the middle.
        var takesRanges = false

        /// Reads response headers as curl prints them (RFC 9110); of several responses (redirects) the last counts.
        init(headers text: String) {
            var etag: String?
            var modified: String?
            for line in text.split(whereSeparator: { $0.isNewline }) {
                if line.hasPrefix("HTTP/") {
                    (size, etag, modified, takesRanges) = (nil, nil, nil, false)
                    continue
                }
                guard let colon = line.firstIndex(of: ":") else { continue }
                let value = line[line.index(after: colon)...].trimmed
                // What is kept goes back to the server in a header of ours: no controls (RFC 9110 section 5.5).
                guard value.utf8.allSatisfy({ $0 >= 32 && $0 != 127 }) else { continue }
                switch line[..<colon].lowercased() {
                case "content-length": size = UInt64(value).flatMap { $0 <= 1 << 50 ? $0 : nil }
                case "accept-ranges": takesRanges = value.lowercased() == "bytes"
                case "etag" where !value.hasPrefix("W/"): etag = value
                case "last-modified": modified = value
                default: continue
                }
            }
            validator = etag ?? modified
            if let etag {
                tag = "etag \(etag)"
            } else if let modified, let size {
                tag = "time \(modified) size \(size)"
            }
        }
    }

    /// Fetches the file and moves it to `target`, complete and checked.
    ///
    /// - Returns: its SHA-256.
    func fetch(to target: String) throws(UrsaError) -> String {
        let folder = store.path + "/downloads"
        try File.makeDirectory(folder)
        let key = String(hexadecimal(UrsaBase.SHA256.digest(url)).prefix(32))
        let part = folder + "/\(key).part"
        let tagPath = folder + "/\(key).tag"
        let lock = try FileLock(folder + "/\(key).lock")
        defer { withExtendedLifetime(lock) {} }

        let name = Download.shortName(url)
        progress(Progress("looking at \(name)"))
        let described = try describe()
        var have = UInt64(max(0, File.status(part)?.st_size ?? 0))
        let isSameFile = described.tag != nil && described.tag == File.peek(tagPath)
        let isWithin = described.size.map { have <= $0 } ?? true
        if have > 0, !isSameFile || !isWithin || !described.takesRanges {
            progress(Progress("the file on the server has changed or can't be resumed: starting again"))
            try File.remove(part)
            have = 0
        }
        if let size = described.size { try store.requireSpace(ByteCount(size - min(have, size))) }
        // The tag must be there before the first byte of the part is.
        if let tag = described.tag { try File.replace(tagPath, text: tag) } else { try File.remove(tagPath) }

        if described.size == nil || have < described.size ?? 0 {
            try transfer(part, described, name, resuming: have > 0)
        }
        try judgeLength(part, described)

        progress(Progress("checking \(name)"))
        let digest = try FileDigest.sha256(part)
        if let sha256, sha256 != digest {
            try File.remove(part)
            try File.remove(tagPath)
            throw UrsaError(
                .io, "the file has the SHA-256 \(digest), not \(sha256); it was thrown away", place: url,
                remedy: "compare the checksum with the publisher's; if it is right, run the command again")
        }
        try retrying("move the download to \(target)") { rename(part, target) }
        try File.remove(tagPath)
        return digest
    }

    private func describe() throws(UrsaError) -> Description {
        let result = try curl(["--head", "--max-time", "60", "--output", "-"]).run(seconds: 90)
        // Some servers refuse HEAD; the transfer itself then tells.
        guard result.end.isSuccess else {
            if result.end == .exited(22) { return Description(headers: "") }
            throw failure(result.end, result.errors)
        }
        return Description(headers: result.text)
    }

    private func transfer(
        _ part: String, _ described: Description, _ name: String, resuming: Bool
    ) throws(UrsaError) {
        // 30 s without 1 byte is a dead server; a slow one may take hours.
        var arguments = ["--output", part, "--speed-limit", "1", "--speed-time", "30"]
        if resuming {
            arguments += ["--continue-at", "-"]
            if let validator = described.validator { arguments += ["--header", "If-Range: \(validator)"] }
        }
        if let size = described.size { arguments += ["--max-filesize", "\(size)"] }
        var program = curl(arguments)
        // curl's own limit covers only what a server announces; the kernel's covers what it sends.
        program.fileSizeLimit = described.size.map { $0 + 1 } ?? 1 << 40
        let result = try Follower.end(
            of: program, "fetch \(url)", seconds: 24 * 3600,
            tick: {
                let done = UInt64(max(0, File.status(part)?.st_size ?? 0))
                progress(Progress("downloading \(name)", done: done, total: described.size))
            })
        // 33: the answer to a resumed request is the whole of another version.
        if result.end == .exited(33) { try File.remove(part) }
        guard result.end.isSuccess else { throw failure(result.end, result.lastLines.joined(separator: "; ")) }
        if let fd = try? File.open(part, O_RDONLY) { fdatasync(fd.raw) }
    }

    private func judgeLength(_ part: String, _ described: Description) throws(UrsaError) {
        let length = UInt64(max(0, File.status(part)?.st_size ?? 0))
        guard let size = described.size, size != length else { return }
        if length > size { try File.remove(part) }
        throw UrsaError(
            .io, "the server announced \(size) bytes and sent \(length)", place: url,
            remedy: length > size
                ? "what came was thrown away; try again" : "run the command again: it goes on where it stopped")
    }

    private func curl(_ arguments: [String]) -> Program {
        // --disable: nobody's .curlrc; --globoff: brackets in an address mean themselves. A redirect from https never
        // leads to http.
        let protocols = url.lowercased().hasPrefix("https://") ? "=https" : "=http,https"
        return Program(
            "curl",
            [
                "--disable", "--globoff", "--fail", "--silent", "--show-error", "--location", "--max-redirs", "10",
                "--proto", protocols, "--proto-redir", protocols, "--connect-timeout", "20",
            ] + arguments + ["--url", url])
    }

    private func failure(_ end: ProcessEnd, _ words: String) -> UrsaError {
        var words = words.trimmed
        if words.hasPrefix("curl: ") { words = String(words.dropFirst(6)) }
        let reason = words.isEmpty ? "curl \(end)" : words
        // Exit statuses of curl(1).
        let remedy: String
        switch end {
        case .exited(6), .exited(7): remedy = "check the address and the network"
        case .exited(22): remedy = "check the address: the server does not give this file"
        case .exited(18), .exited(28), .exited(56), .signalled:
            remedy = "run the command again: it goes on where it stopped"
        case .exited(23): remedy = "the server sent more than it announced, or the disk is full"
        case .exited(60): remedy = "the server's certificate is not trusted here: check the address and the clock"
        case .exited(33), .exited(63):
            remedy = "the server changed the file while it was fetched: run the command again"
        default: remedy = "run the command again"
        }
        return UrsaError(.io, "can't fetch the image: \(reason)", place: url, remedy: remedy)
    }

    /// The last part of an address's path, for people.
    static func shortName(_ url: String) -> String {
        let path = url.prefix { $0 != "?" && $0 != "#" }
        return path.split(separator: "/").last.map(String.init) ?? url
    }
}
