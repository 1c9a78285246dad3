import Glibc
import UrsaBase

/// Debian packages, fetched by the host's own apt and kept unpacked in the store.
///
/// apt decides where packages come from and checks them: the lists by their signatures, each package by the hash in
/// the lists. Nothing is installed and nothing of the host's apt is changed: if its lists are missing or stale, the
/// store gets lists of its own. All of it works for an ordinary user.
struct DebianPackages: Sendable {
    let store: StoreFolder
    let progress: ProgressHandler

    /// A package unpacked in the store.
    struct Tree: Sendable {
        /// The package's name.
        let name: String
        /// Its version.
        let version: String
        /// Folder with its files.
        let path: String
    }

    /// A package that apt knows.
    struct Candidate: Sendable {
        /// Its version.
        let version: String
        /// Names of the packages it depends on, alternatives left out.
        let depends: [String]
        /// Bytes to fetch, 0 when not told.
        let size: UInt64
        /// KiB when unpacked, 0 when not told.
        let installedKibibytes: UInt64

        /// Reads the first paragraph of what `apt-cache show` prints (deb-control(5)); nil when it has no version.
        init?(control text: String) {
            var fields: [String: String] = [:]
            for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
                if line.isEmpty { if fields.isEmpty { continue } else { break } }
                guard !line.hasPrefix(" "), let colon = line.firstIndex(of: ":") else { continue }
                fields[String(line[..<colon])] = line[line.index(after: colon)...].trimmed
            }
            guard let version = fields["Version"], DebianPackages.isVersion(version) else { return nil }
            self.version = version
            depends = (fields["Depends"] ?? "").split(separator: ",").compactMap { item in
                let name = item.trimmed.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0)) }
                // A name begins with a letter or digit (deb-control(5)); what begins with a hyphen apt would take for an option.
                guard let first = name.first, first.isLetter || first.isNumber, !item.contains("|") else { return nil }
                return String(name)
            }
            size = fields["Size"].flatMap { UInt64($0) } ?? 0
            installedKibibytes = fields["Installed-Size"].flatMap { UInt64($0) } ?? 0
        }
    }

    /// Letters, digits and `.+-~:` as deb-version(7) allows; no slash, so it can be part of a file name.
    private static func isVersion(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count < 200
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || ".+-~:".contains($0)) }
    }

    /// What apt would install for a name, by the host's lists or else by the store's.
    ///
    /// - Throws: `.unsupported` when the host has no apt, `.notFound` when its sources have no such package.
    func candidate(_ name: String) throws(UrsaError) -> Candidate { try resolve(name).candidate }

    private func resolve(_ name: String) throws(UrsaError) -> (candidate: Candidate, options: [String]) {
        try requireApt()
        if let found = try lookUp(name, []) { return (found, []) }
        let own = try ownLists(refresh: false)
        if let found = try lookUp(name, own) { return (found, own) }
        return try resolveAnew(name)
    }

    private func resolveAnew(_ name: String) throws(UrsaError) -> (candidate: Candidate, options: [String]) {
        let own = try ownLists(refresh: true)
        if let found = try lookUp(name, own) { return (found, own) }
        throw UrsaError(
            .notFound, "apt's sources have no package \(name)",
            remedy:
                """
                check the network and `apt-get update`: this image is built from Debian's packages for amd64; \
                `ursa image pull` fetches a ready one instead
                """)
    }

    private func lookUp(_ name: String, _ options: [String]) throws(UrsaError) -> Candidate? {
        let shown = try apt("apt-cache", options + ["show", "--no-all-versions", name]).run(seconds: 120)
        return shown.end.isSuccess ? Candidate(control: shown.text) : nil
    }

    /// The package's files, fetched and unpacked if the store does not have this version yet.
    func tree(_ name: String) throws(UrsaError) -> Tree {
        let (candidate, options) = try resolve(name)
        do throws(UrsaError) {
            return try tree(name, candidate, options)
        } catch {
            // Stale lists name versions that are gone from the servers.
            guard error.code == .io, options.isEmpty else { throw error }
            let first = error
            do throws(UrsaError) {
                let (candidate, options) = try resolveAnew(name)
                return try tree(name, candidate, options)
            } catch {
                // "No such package" after a failed download only says that the lists could not be read either.
                let told = error.code == .notFound ? first : error
                throw UrsaError(
                    told.code, told.message, place: told.place,
                    remedy: told.remedy ?? "check the network and `apt-get update`, then run the command again")
            }
        }
    }

    private func tree(_ name: String, _ candidate: Candidate, _ options: [String]) throws(UrsaError) -> Tree {
        let folder = "packages/\(name)_\(candidate.version)"
        let tree = Tree(name: name, version: candidate.version, path: store.path + "/" + folder)
        if File.isDirectory(tree.path) { return tree }

        let unpackedSize = candidate.installedKibibytes.multipliedReportingOverflow(by: 1024).partialValue
        let partial = try store.makePartial(space: ByteCount(candidate.size &+ unpackedSize))
        do throws(UrsaError) {
            try File.makeDirectory(store.path + "/packages")
            let fetched = partial.path + "/fetched"
            let unpacked = partial.path + "/unpacked"
            try File.makeDirectory(fetched)
            try fetch(name, candidate, options, into: fetched)
            guard let package = File.list(fetched).first(where: { $0.hasSuffix(".deb") }) else {
                throw UrsaError(.io, "apt-get fetched no package file for \(name)")
            }
            progress(Progress("unpacking \(name)"))
            try Program("dpkg-deb", ["-x", fetched + "/" + package, unpacked]).require(
                "unpack \(package)", seconds: 300)
            try store.publish(unpacked, as: folder)
        } catch {
            store.discard(partial)
            throw error
        }
        store.discard(partial)
        return tree
    }

    private func fetch(
        _ name: String, _ candidate: Candidate, _ options: [String], into folder: String
    ) throws(UrsaError) {
        var program = apt("apt-get", options + ["-qq", "download", "\(name)=\(candidate.version)"])
        program.directory = folder
        let activity = "downloading \(name) \(candidate.version)"
        try Follower.run(
            program, "download \(name)", seconds: 1800,
            tick: {
                let done = File.list(folder).compactMap { File.status(folder + "/" + $0)?.st_size }.reduce(0, +)
                progress(
                    Progress(activity, done: UInt64(max(0, done)), total: candidate.size == 0 ? nil : candidate.size))
            })
    }

    /// Options that make apt use lists kept in the store instead of the host's.
    private func ownLists(refresh: Bool) throws(UrsaError) -> [String] {
        let folder = store.path + "/apt"
        let options = [
            "-o", "Dir::State::lists=\(folder)/lists", "-o", "Dir::Cache=\(folder)/cache",
            "-o", "Dir::State::status=/var/lib/dpkg/status",
        ]
        for part in ["lists/partial", "cache/archives/partial"] { try File.makeDirectory(folder + "/" + part) }
        if refresh {
            let lock = try FileLock(folder + "/lock")
            progress(Progress("reading the package lists"))
            try Follower.run(apt("apt-get", options + ["-qq", "update"]), "read the package lists", seconds: 600)
            withExtendedLifetime(lock) {}
        }
        return options
    }

    private func apt(_ program: String, _ arguments: [String]) -> Program {
        // The sandbox user could not write into the store; the packages are checked all the same.
        Program(program, ["-o", "APT::Sandbox::User=root"] + arguments, environment: DebianPackages.environment)
    }

    private func requireApt() throws(UrsaError) {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] where Path.program(program) == nil {
            throw UrsaError(
                .unsupported, "this image is built from Debian packages, and this host has no \(program)",
                remedy: "build it on Debian or Ubuntu, or fetch a ready image with `ursa image pull`")
        }
    }

    /// Plain English messages and no questions.
    static let environment: [String] = {
        let names = ["PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy"]
        let kept = names.compactMap { (name: String) in getenv(name).map { "\(name)=" + String(cString: $0) } }
        return kept + ["LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
    }()
}
