import Glibc
import UrsaBase

/// What a reader must know to judge the figures: the machine and the versions.
enum MachineFacts {
    /// One line each, most important first.
    static func lines(runs: Int) -> [String] {
        var name = utsname()
        uname(&name)
        let kernel = withUnsafeBytes(of: &name.release) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        let processor = row("model name", of: "/proc/cpuinfo") ?? "unknown processor"
        let memory = row("MemTotal", of: "/proc/meminfo")?.split(separator: " ").first.flatMap { Double($0) } ?? 0
        let system =
            row("PRETTY_NAME", of: "/etc/os-release", separator: "=")?.filter { $0 != "\"" } ?? "unknown system"
        return [
            "\(processor), \(sysconf(Int32(_SC_NPROCESSORS_ONLN))) processors, \(fixed(memory / 1_048_576, 0)) GiB",
            "\(system), kernel \(kernel)",
            "\(version("qemu-system-x86_64")), libvirt \(version("libvirtd")), \(version("dnsmasq")), \(version("nft"))",
            "\(timestamp(wallClock()).prefix(10)), medians of \(runs) runs, ours and the peer's in turns",
        ]
    }

    private static func row(_ key: String, of file: String, separator: Character = ":") -> String? {
        guard let text = File.peek(file) else { return nil }
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: separator, maxSplits: 1)
            if let first = parts.first, parts.count == 2, first.trimmed == key { return parts[1].trimmed }
        }
        return nil
    }

    /// The first line a program says about itself, shortened to name and number.
    private static func version(_ program: String) -> String {
        guard let text = try? Program(program, ["--version"]).require("ask \(program) for its version", seconds: 10),
            let line = text.split(separator: "\n").first
        else { return "\(program) ?" }
        let words = line.split(separator: " ")
        let number = words.first {
            $0.first?.isNumber == true || ($0.first == "v" && $0.dropFirst().first?.isNumber == true)
        }
        let label = ["qemu-system-x86_64": "QEMU", "libvirtd": "", "nft": "nftables"][program] ?? program
        return "\(label) \(number.map(String.init) ?? "?")".trimmed
    }
}
