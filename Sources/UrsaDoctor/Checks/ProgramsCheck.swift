import UrsaBase

/// Whether the programs that Ursa starts are installed.
struct ProgramsCheck: Check {
    let topic = "programs"

    /// A program, its Debian package, and what it is for.
    private struct Needed {
        let program: String
        let package: String
        let purpose: String
        let lack: Finding.Severity
    }

    private static let all = [
        Needed(program: "qemu-system-x86_64", package: "qemu-system-x86", purpose: "running machines", lack: .problem),
        Needed(program: "qemu-img", package: "qemu-utils", purpose: "disk images", lack: .problem),
        Needed(program: "dnsmasq", package: "dnsmasq-base", purpose: "addresses and names on networks", lack: .problem),
        Needed(program: "nft", package: "nftables", purpose: "NAT and published ports", lack: .problem),
        Needed(program: "passt", package: "passt", purpose: "networks without root", lack: .note),
        Needed(program: "ip", package: "iproute2", purpose: "looking at networks by hand", lack: .warning),
        Needed(program: "mmdebstrap", package: "mmdebstrap", purpose: "building the image debian:12", lack: .warning),
        Needed(program: "genisoimage", package: "genisoimage", purpose: "first-boot configuration", lack: .warning),
        Needed(program: "ssh", package: "openssh-client", purpose: "ursa ssh", lack: .warning),
        Needed(program: "curl", package: "curl", purpose: "image pull", lack: .warning),
    ]

    /// Oldest QEMU that is tested: Debian 12's.
    private static let oldestQEMU = (major: 7, minor: 2)

    func examine(_ host: HostFacts) -> [Finding] {
        var findings: [Finding] = []
        var present: [String] = []
        for needed in ProgramsCheck.all {
            if host.program(needed.program) == nil {
                // dnsmasq and nft serve kernel networks only, which a caller without root can't have anyway.
                let networkOnly = needed.program == "dnsmasq" || needed.program == "nft"
                let severity = networkOnly && !host.account.canAdministerNetwork ? .warning : needed.lack
                findings.append(
                    Finding(
                        severity, topic, "\(needed.program) is not installed: \(needed.purpose)",
                        remedy: host.install(needed.package)))
            } else if needed.program == "qemu-system-x86_64" {
                let (finding, words) = qemu(host)
                if let finding { findings.append(finding) }
                if let words { present.append(words) }
            } else {
                present.append(needed.program)
            }
        }
        if !present.isEmpty { findings.append(ok(present.joined(separator: ", "))) }
        return findings
    }

    private func qemu(_ host: HostFacts) -> (Finding?, words: String?) {
        let output = host.output("qemu-system-x86_64", ["--version"])
        guard let output, output.end.isSuccess, let version = ProgramsCheck.version(output.text) else {
            let words = output?.errors.split(whereSeparator: \.isNewline).first.map { ": \($0)" } ?? ""
            return (problem("qemu-system-x86_64 --version fails\(words)", remedy: host.install("qemu-system-x86")), nil)
        }
        let text = "\(version.major).\(version.minor)"
        guard version >= ProgramsCheck.oldestQEMU else {
            return (
                problem(
                    "QEMU \(text) is older than \(ProgramsCheck.oldestQEMU.major).\(ProgramsCheck.oldestQEMU.minor)",
                    remedy: host.install("qemu-system-x86")), nil
            )
        }
        return (nil, "QEMU \(text)")
    }

    /// The version in `QEMU emulator version 7.2.19 (Debian …)`.
    static func version(_ text: String) -> (major: Int, minor: Int)? {
        let words = text.split(whereSeparator: \.isWhitespace)
        guard let mark = words.firstIndex(of: "version"), mark + 1 < words.count else { return nil }
        let numbers = words[mark + 1].split(separator: ".").map { Int($0.prefix { $0.isASCII && $0.isNumber }) }
        guard numbers.count >= 2, let major = numbers[0], let minor = numbers[1] else { return nil }
        return (major, minor)
    }
}
