import UrsaBase

/// Where the host's apt gets Debian from: the host's mirrors serve the images built on it.
enum AptSources {
    /// One source that apt has: an address with the suite and component it is asked for.
    struct Source: Hashable, Sendable {
        let address: String
        let suite: String
        let component: String
    }

    /// Reads what `apt-get indextargets` prints in the form `ADDRESS|SUITE|COMPONENT`.
    static func parse(_ text: String) -> [Source] {
        var sources: [Source] = []
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
            // Blanks or brackets would change the meaning of a line of sources.list.
            guard parts.count == 3,
                parts.allSatisfy({ $0.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != 91 && $0 != 93 } }),
                parts.allSatisfy({ !$0.isEmpty })
            else { continue }
            let source = Source(address: parts[0], suite: parts[1], component: parts[2])
            if !sources.contains(source) { sources.append(source) }
        }
        return sources
    }

    /// sources.list(5) lines for a release of Debian, out of the host's sources.
    ///
    /// A host of that release gives its own; one of another release of Debian gives its mirrors, asked for the suites of
    /// the wanted one.
    static func lines(for release: String, from sources: [Source]) -> [String] {
        let suites = [release, release + "-updates", release + "-security"]
        let own = sources.filter { suites.contains($0.suite) && $0.component == "main" }
        var wanted = own.map { ($0.address, $0.suite) }
        if !own.contains(where: { $0.suite == release }) {
            wanted = []
            let known = [
                "trixie", "forky", "sid", "bullseye", "bookworm", "stable", "testing", "unstable", "oldstable",
            ]
            for source in sources where source.component == "main" {
                guard let base = known.first(where: { source.suite == $0 || source.suite.hasPrefix($0 + "-") }) else {
                    continue
                }
                wanted.append((source.address, release + source.suite.dropFirst(base.count)))
            }
            wanted = wanted.filter { suites.contains($0.1) }
        }
        return wanted.map { "deb \($0.0) \($0.1) main" }
    }

    /// The lines for a release on this host.
    ///
    /// - Throws: `.unsupported` when the host's apt has no source of Debian.
    static func lines(for release: String) throws(UrsaError) -> [String] {
        let text = try Program(
            "apt-get", ["indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages"],
            environment: DebianPackages.environment
        ).require("read apt's sources")
        let lines = lines(for: release, from: parse(text))
        guard lines.contains(where: { $0.hasSuffix(" \(release) main") }) else {
            throw UrsaError(
                .unsupported, "this host's apt has no source of Debian's packages", place: "/etc/apt",
                remedy: "add one for Debian \(release), or fetch a ready image with `ursa image pull`")
        }
        return lines
    }
}
