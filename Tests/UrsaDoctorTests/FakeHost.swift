import Glibc
import Testing
import UrsaBase
import UrsaKVM

@testable import UrsaDoctor

/// A host made of files: a temporary folder with the parts of /proc, /sys, /etc that a test wants, removed at the end.
final class FakeHost {
    let root: String
    var verdict = KVMVerdict.ok
    var space = HostFacts.Space(bytes: 50 << 30, files: 1 << 20)

    init(uid: UInt32 = 0, _ files: [String: String] = [:]) throws {
        var template = Array("/tmp/ursa-doctor-XXXXXX\0".utf8CString)
        guard mkdtemp(&template) != nil else { throw UrsaError.system(.current, "make a folder for the test") }
        root = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let capabilities = uid == 0 ? "000001ffffffffff" : "0000000000000000"
        try write("/proc/self/status", "Uid:\t\(uid)\t\(uid)\t\(uid)\t\(uid)\nGroups:\t27 \nCapEff:\t\(capabilities)\n")
        try write("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/bash\n")
        try write("/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n")
        for (path, text) in files { try write(path, text) }
    }

    deinit { try? File.removeTree(root) }

    func write(_ path: String, _ text: String, mode: mode_t = 0o644) throws {
        try File.makeDirectory(Path.parent(root + path))
        try File.replace(root + path, text: text, mode: mode)
    }

    /// Puts a program there: a script.
    func install(_ name: String, script: String = "exit 0") throws {
        let path = "/usr/bin/" + name
        try write(path, "#!/bin/sh\n\(script)\n", mode: 0o755)
        // A child that another test started meanwhile holds our descriptor until its exec; so long the script is "busy".
        for _ in 0..<200 where (try? Program(root + path, []).run()) == nil { pause(milliseconds: 5) }
    }

    var facts: HostFacts {
        let (verdict, space) = (verdict, space)
        var facts = HostFacts(root: root, probe: { verdict }, space: { _ in space })
        facts.home = root + "/var/lib/ursa"
        facts.run = root + "/run/ursa"
        return facts
    }

    func examine(_ check: some Check) -> [Finding] { check.examine(facts) }

    /// The only finding of a check.
    func single(_ check: some Check, _ here: SourceLocation = #_sourceLocation) throws -> Finding {
        let findings = examine(check)
        #expect(findings.count == 1, "\(findings)", sourceLocation: here)
        return try #require(findings.first, sourceLocation: here)
    }
}
