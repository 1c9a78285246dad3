import Glibc
import UrsaBase

/// The home's block in the host's names file, between two marker lines; everything else in the file is the person's.
///
/// The file is bytes here and no text: hosts(5) names no encoding, and a byte that is not UTF-8, or a line that ends in
/// CR LF (to Swift one character), must come out of an edit as it went in.
enum HostsFile {
    /// The lines for machines that the host can reach. The short name is left out where the rest of the file has it, or
    /// an earlier network of the home.
    static func block(_ networks: [NetworkWish], _ bridges: [BridgeWish] = [], outside: [UInt8]) -> [String] {
        let reachable =
            networks.filter(\.isReachable).map { ($0.name, $0.domain, $0.members) }
            + bridges.map { ($0.name, $0.domain, $0.members) }
        var taken = names(outside)
        var lines: [String] = []
        for (_, domain, members) in reachable.sorted(by: { $0.0 < $1.0 }) {
            for member in members.sorted(by: { $0.machine < $1.machine }) where member.hasAddress {
                let short = taken.insert(member.machine).inserted ? " \(member.machine)" : ""
                let full = "\(member.machine).\(domain)\(short)"
                lines.append("\(member.address) \(full)")
                if let address6 = member.address6 { lines.append("\(address6) \(full)") }
            }
        }
        return lines
    }

    /// A names file cut in three.
    struct Parts: Sendable, Hashable {
        /// What comes before the block, whole lines where there is a block.
        var before: [UInt8]
        /// Whether the last line end of `before` was added for the block's sake.
        var wasUnfinished = false
        /// The lines of the block, or nil when the file has none.
        var block: [String]?
        /// What comes after.
        var after: [UInt8]
        /// The person's part alone: the file without the block. (The added line end stays where something follows, like
        /// the block of another home.)
        var outside: [UInt8] { wasUnfinished && after.isEmpty ? before.dropLast() : before + after }
    }

    // The first marker says whether the file had no line end before it, so that taking the block away gives back the
    // very same bytes.
    private static func begin(_ home: HomeMark) -> String { "# ursa \(home.id) begin" }
    private static func end(_ home: HomeMark) -> String { "# ursa \(home.id) end" }
    private static let joined = " (after an unfinished line)"

    /// Finds the home's block. A block without its end marker (somebody cut it) ends at the first foreign line.
    static func split(_ text: [UInt8], _ home: HomeMark) -> Parts {
        var before: [UInt8] = []
        var wasUnfinished = false
        var block: [String]?
        var after: [UInt8] = []
        var inside = false
        for line in lines(text) {
            // Our own lines are ASCII; an editor may have given them CR LF.
            var ended = line.last == 10 ? line.dropLast() : line
            if ended.last == 13 { ended.removeLast() }
            let bare = String(decoding: ended, as: UTF8.self)
            if block == nil, bare == begin(home) || bare == begin(home) + joined {
                wasUnfinished = bare != begin(home) && before.last == 10
                block = []
                inside = true
            } else if inside, bare == end(home) {
                inside = false
            } else if inside, bare.contains(".ursa.internal") {
                block?.append(bare)
            } else {
                inside = false
                if block == nil { before += line } else { after += line }
            }
        }
        return Parts(before: before, wasUnfinished: wasUnfinished, block: block, after: after)
    }

    /// The file with these lines as the home's block; none when there are no lines.
    static func text(_ parts: Parts, block: [String], _ home: HomeMark) -> [UInt8] {
        guard !block.isEmpty else { return parts.outside }
        let unfinished = !parts.before.isEmpty && parts.before.last != 10
        let lines = [begin(home) + (unfinished || parts.wasUnfinished ? joined : "")] + block + [end(home)]
        return parts.before + Array(((unfinished ? [""] : []) + lines + [""]).joined(separator: "\n").utf8)
            + parts.after
    }

    /// Replaces the file's content: at once where it can be, in place where the file is a mount of its own (containers
    /// mount /etc/hosts from outside; such a file can't be replaced by rename).
    static func write(_ path: String, _ text: [UInt8]) throws(UrsaError) {
        let old = File.status(path)
        let mode = old.map { $0.st_mode & 0o7777 } ?? 0o644
        // A link must stay a link: the file it leads to is replaced.
        let target = realPath(path)
        removeUnfinished(target)
        do {
            try File.replace(target, text, mode: mode)
            if let old { chown(target, old.st_uid, old.st_gid) }
        } catch {
            guard old != nil else { throw error }
            let fd = try File.open(target, O_WRONLY)
            try fd.writeAll(text, to: target)
            try retrying("shorten \(target)") { ftruncate(fd.raw, off_t(text.count)) }
        }
    }

    /// Removes what writers that were killed left beside the file (`hosts.new-PID-THREAD`, see `File.replace`). Their
    /// change is not made, so the next command comes here again.
    static func removeUnfinished(_ target: String) {
        let folder = Path.parent(target)
        let prefix = Path.name(target) + ".new-"
        for name in File.list(folder) where name.hasPrefix(prefix) {
            let numbers = name.dropFirst(prefix.utf8.count).split(separator: "-", omittingEmptySubsequences: false)
            guard numbers.count == 2, let pid = pid_t(numbers[0]), pid > 0, pid_t(numbers[1]) != nil else { continue }
            // A killed process that nobody has reaped yet is as dead.
            if ProcessIdentity(running: pid) == nil { unlink(folder + "/" + name) }
        }
    }

    /// The same for a home's hosts file.
    static func removeUnfinished(of home: HomeMark) { removeUnfinished(realPath(home.hostsFile)) }

    private static func realPath(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// The lines with their line feeds; the last one may lack it.
    private static func lines(_ text: [UInt8]) -> [ArraySlice<UInt8>] {
        var result: [ArraySlice<UInt8>] = []
        var rest = text[...]
        while let end = rest.firstIndex(of: 10) {
            result.append(rest[...end])
            rest = rest[(end + 1)...]
        }
        return rest.isEmpty ? result : result + [rest]
    }

    /// All names that a names file defines.
    private static func names(_ text: [UInt8]) -> Set<String> {
        var result: Set<String> = []
        for line in text.split(separator: 10) {
            let bare = line.prefix { $0 != UInt8(ascii: "#") }
            for name in bare.split(whereSeparator: { $0 == 32 || $0 == 9 || $0 == 13 }).dropFirst() {
                result.insert(String(decoding: name, as: UTF8.self).lowercased())
            }
        }
        return result
    }
}
