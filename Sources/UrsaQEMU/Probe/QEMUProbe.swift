import Glibc
public import UrsaBase

/// A QEMU of this host and what it can do.
public struct QEMUInstallation: Sendable, Hashable {
    /// Absolute path of the program.
    public var path: String
    /// Its version: `7.2.22`.
    public var version: String
    /// Its newest versioned q35 machine type: `pc-q35-7.2`.
    public var machineType: String
    /// All its versioned q35 machine types, newest first; a machine made under an older one still finds its own.
    public var machineTypes: [String]

    /// A QEMU by what is known of it; `QEMUProbe.find` asks.
    public init(path: String, version: String, machineType: String, machineTypes: [String]) {
        self.path = path
        self.version = version
        self.machineType = machineType
        self.machineTypes = machineTypes
    }
}

/// Finds QEMU and asks it what it is. What it said is kept in a file and holds as long as the program's own file does
/// not change.
public enum QEMUProbe {
    /// The name of the program.
    public static let programName = "qemu-system-x86_64"

    /// The QEMU of this host.
    ///
    /// - Parameters:
    ///   - cache: file for what was found out, nil to ask anew; it need not exist, and a broken one is no error.
    ///   - program: path of another QEMU than the one in PATH.
    /// - Throws: `.notFound` when there is none, `.unsupported` when it is older than 7.2 or has no q35.
    public static func find(cache: String? = nil, program: String? = nil) throws(UrsaError) -> QEMUInstallation {
        guard let path = Path.program(program ?? programName), let info = File.status(path) else {
            throw UrsaError(
                .notFound, "\(program ?? programName) is not installed",
                remedy: "install it: apt install qemu-system-x86")
        }
        let mark = "\(info.st_size) \(info.st_mtim.tv_sec).\(info.st_mtim.tv_nsec) \(info.st_ino)"
        if let cache, let known = read(cache, path, mark) { return known }
        let found = try ask(path)
        if let cache {
            let stored = JSON.record([
                "path": .string(path), "mark": .string(mark), "version": .string(found.version),
                "types": .array(found.machineTypes.map(JSON.string)),
            ])
            try? File.replace(cache, stored.line, mode: 0o644, durable: false)
        }
        return found
    }

    private static func read(_ cache: String, _ path: String, _ mark: String) -> QEMUInstallation? {
        guard let stored = try? JSON.parse(File.read(cache, limit: 1 << 20)), stored["path"]?.string == path,
            stored["mark"]?.string == mark, let version = stored["version"]?.string,
            let types = stored["types"]?.array?.compactMap(\.string), let newest = types.first
        else { return nil }
        return QEMUInstallation(path: path, version: version, machineType: newest, machineTypes: types)
    }

    private static func ask(_ path: String) throws(UrsaError) -> QEMUInstallation {
        let version = try parseVersion(Program(path, ["--version"]).require("ask QEMU for its version", seconds: 20))
        let types = parseMachineTypes(
            try Program(path, ["-machine", "help"]).require("ask QEMU for its machine types", seconds: 20))
        guard let newest = types.first else {
            throw UrsaError(
                .unsupported, "\(path) has no q35 machine", remedy: "install it: apt install qemu-system-x86")
        }
        return QEMUInstallation(path: path, version: version, machineType: newest, machineTypes: types)
    }

    /// The number after "version" in QEMU's first line.
    static func parseVersion(_ text: String) throws(UrsaError) -> String {
        let words = text.split(whereSeparator: \.isWhitespace)
        guard let index = words.firstIndex(of: "version"), index + 1 < words.count else {
            throw UrsaError(.unsupported, "QEMU's version can't be read")
        }
        let version = String(words[index + 1].prefix { $0.isNumber || $0 == "." })
        let numbers = version.split(separator: ".").compactMap { Int($0) }
        guard numbers.count >= 2 else { throw UrsaError(.unsupported, "QEMU's version can't be read") }
        guard (numbers[0], numbers[1]) >= (7, 2) else {
            throw UrsaError(.unsupported, "QEMU \(version) is too old", remedy: "install QEMU 7.2 or newer")
        }
        return version
    }

    /// The versioned q35 types in the output of `-machine help`, newest first.
    static func parseMachineTypes(_ text: String) -> [String] {
        var found: [(Int, Int, String)] = []
        for line in text.split(whereSeparator: \.isNewline) {
            guard let name = line.split(separator: " ").first, name.hasPrefix("pc-q35-"),
                !line.contains("deprecated")
            else { continue }
            let numbers = name.dropFirst("pc-q35-".count).split(separator: ".").map { Int($0) }
            guard numbers.count >= 2, let major = numbers[0], let minor = numbers[1] else { continue }
            found.append((major, minor, String(name)))
        }
        return found.sorted { ($0.0, $0.1, $0.2) > ($1.0, $1.1, $1.2) }.map(\.2)
    }
}
