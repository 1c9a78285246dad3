import UrsaBase

/// The `ursa` command, driven as a person drives it.
struct Ursa {
    /// Absolute path of the program.
    let path: String
    /// Its state folder.
    let home: String

    /// Runs one command to its end. The URSA_HOME of the environment is replaced by `home`.
    @discardableResult
    func callAsFunction(_ arguments: String..., home other: String? = nil) throws(UrsaError) -> String {
        let kept = Environment.all.filter { !$0.hasPrefix("URSA_HOME=") }
        let program = Program(path, arguments, environment: kept + ["URSA_HOME=\(other ?? home)"])
        return try program.require("run ursa \(arguments.joined(separator: " "))", seconds: 300)
    }
}

/// Processes of this corner of the host, by what they are. The corner has a process table of its own.
struct RunningProcess {
    let pid: Int32

    /// Every process whose command name (first 15 bytes) starts with `prefix`.
    static func all(named prefix: String) -> [RunningProcess] {
        File.list("/proc").compactMap { Int32($0) }.filter { pid in
            // By the program, not by `comm`: QEMU names its process after the machine.
            let words = (try? File.readText("/proc/\(pid)/cmdline"))?.split(separator: "\0")
            return words?.first.map { Path.name(String($0)).hasPrefix(prefix) } ?? false
        }.map(RunningProcess.init)
    }

    /// Its argument vector.
    var arguments: [String] {
        guard let text = try? File.readText("/proc/\(pid)/cmdline") else { return [] }
        return text.split(separator: "\0", omittingEmptySubsequences: false).map(String.init).dropLast()
    }

    /// A `NAME: VALUE kB` row of one of its files in /proc, in MiB (proc(5)).
    func mebibytes(_ row: String, of file: String) -> Double? {
        guard let text = File.peek("/proc/\(pid)/\(file)") else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix("\(row):") {
            let number = line.dropFirst(row.count + 1).trimmed.split(separator: " ").first
            return number.flatMap { Double($0) }.map { $0 / 1024 }
        }
        return nil
    }
}
