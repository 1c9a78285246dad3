import Glibc
import UrsaBase

/// The home's block in the host's names file, between two marker lines; everything else in the file is the person's.
enum HostsFile {
    /// The lines for the networks' machines. The short name is left out where the rest of the file has it, or an
    /// earlier network of the home.
    static func block(_ networks: [NetworkWish], outside: String) -> [String] {
        var taken = names(outside)
        var lines: [String] = []
        for network in networks.sorted(by: { $0.name < $1.name }) {
            for member in network.members.sorted(by: { $0.machine < $1.machine }) {
                let short = taken.insert(member.machine).inserted ? " \(member.machine)" : ""
                let full = "\(member.machine).\(network.domain)\(short)"
                lines.append("\(member.address) \(full)")
                if let address6 = member.address6 { lines.append("\(address6) \(full)") }
            }
        }
        return lines
    }

    /// A names file cut in three.
    struct Parts: Sendable, Hashable {
        /// What comes before the block, whole lines where there is a block.
        var before: String
        /// Whether the last line end of `before` was added for the block's sake.
        var wasUnfinished = false
        /// The lines of the block, or nil when the file has none.
        var block: [String]?
        /// What comes after.
        var after: String
        /// The person's part alone: the file without the block. (The added line end stays where something follows, like
        /// the block of another home.)
        var outside: String { wasUnfinished && after.isEmpty ? String(before.dropLast()) : before + after }
    }

    // The first marker says whether the file had no line end before it, so that taking the block away gives back the
    // very same bytes.
    private static func begin(_ home: HomeMark) -> String { "# ursa \(home.id) begin" }
    private static func end(_ home: HomeMark) -> String { "# ursa \(home.id) end" }
    private static let joined = " (after an unfinished line)"

    /// Finds the home's block. A block without its end marker (somebody cut it) ends at the first foreign line.
    static func split(_ text: String, _ home: HomeMark) -> Parts {
        var before = ""
        var wasUnfinished = false
        var block: [String]?
        var after = ""
        var inside = false
        for line in lines(text) {
            let bare = line.hasSuffix("\n") ? String(line.dropLast()) : String(line)
            if block == nil, bare == begin(home) || bare == begin(home) + joined {
                wasUnfinished = bare != begin(home) && before.hasSuffix("\n")
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
    static func text(_ parts: Parts, block: [String], _ home: HomeMark) -> String {
        guard !block.isEmpty else { return parts.outside }
        let unfinished = !parts.before.isEmpty && !parts.before.hasSuffix("\n")
        let lines = [begin(home) + (unfinished || parts.wasUnfinished ? joined : "")] + block + [end(home)]
        return parts.before + (unfinished ? "\n" : "") + lines.joined(separator: "\n") + "\n" + parts.after
    }

    /// Replaces the file's content: at once where it can be, in place where the file is a mount of its own (containers
    /// mount /etc/hosts from outside; such a file can't be replaced by rename).
    static func write(_ path: String, _ text: String) throws(UrsaError) {
        let old = File.status(path)
        let mode = old.map { $0.st_mode & 0o7777 } ?? 0o644
        // A link must stay a link: the file it leads to is replaced.
        let target = realPath(path)
        do {
            try File.replace(target, Array(text.utf8), mode: mode)
            if let old { chown(target, old.st_uid, old.st_gid) }
        } catch {
            guard old != nil else { throw error }
            let fd = try File.open(target, O_WRONLY)
            try fd.writeAll(Array(text.utf8), to: target)
            try retrying("shorten \(target)") { ftruncate(fd.raw, off_t(text.utf8.count)) }
        }
    }

    private static func realPath(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func lines(_ text: String) -> [Substring] {
        var result: [Substring] = []
        var start = text.startIndex
        while start < text.endIndex {
            let stop = text[start...].firstIndex(of: "\n").map { text.index(after: $0) } ?? text.endIndex
            result.append(text[start..<stop])
            start = stop
        }
        return result
    }

    /// All names that a names file defines.
    private static func names(_ text: String) -> Set<String> {
        var result: Set<String> = []
        for line in text.split(separator: "\n") {
            let bare = line.prefix { $0 != "#" }
            for name in bare.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "\r" }).dropFirst() {
                result.insert(name.lowercased())
            }
        }
        return result
    }
}
