import Testing
import UrsaBase

@testable import UrsaDoctor

@Suite("Doctor: report")
struct ReportTests {
    private let findings = [
        Finding(.ok, "tun", "fine"), Finding(.warning, "memory", "little", remedy: "free -m"),
    ]

    @Test func tableForPipesHasOneLineAFinding() {
        #expect(
            Doctor.render(findings, terminal: false) == """
                ok       tun     fine
                warning  memory  little — free -m
                1 warning.

                """)
    }

    @Test func tableForTerminalsHasSignsAndTheCommandBelow() {
        let lines = Doctor.render(findings, terminal: true).split(separator: "\n")
        #expect(lines[0] == "\u{1b}[32m✓\u{1b}[0m tun     fine")
        #expect(lines[2] == "          \u{1b}[1m$ free -m\u{1b}[0m")
    }

    @Test func onlyAProblemFails() {
        #expect(Doctor.exitStatus(findings) == 0)
        #expect(Doctor.exitStatus(findings + [Finding(.problem, "x", "y")]) == 1)
        #expect(Doctor.render([], terminal: false) == "This host is ready.\n")
    }

    @Test func findingsAreObjects() {
        #expect(findings[0].json.text == #"{"severity":"ok","topic":"tun","message":"fine"}"#)
        #expect(findings[1].json["remedy"]?.string == "free -m")
    }

    @Test func wordsForTheShellAreQuoted() {
        #expect(HostFacts.quoted("/dev/kvm") == "/dev/kvm")
        #expect(HostFacts.quoted("") == "''")
        #expect(HostFacts.quoted("it's; rm") == #"'it'\''s; rm'"#)
    }

    @Test func everyFindingOfThisHostIsOneLineAndQuick() {
        let start = Deadline.now
        let findings = Doctor(home: "/var/lib/ursa", run: "/run/ursa").examine()
        #expect(Deadline.now.seconds(since: start) < 5)
        #expect(Set(findings.map(\.topic)) == Set(Doctor.checks.map(\.topic)), "no check stays silent")
        #expect(findings.allSatisfy { !$0.message.contains("\n") && !$0.message.isEmpty })
    }

    @Test func emptyHostIsSurvived() throws {
        let host = try FakeHost(["/proc/self/status": ""])
        let findings = Doctor(home: host.root + "/home", run: host.root + "/run", facts: host.facts).examine()
        #expect(Set(findings.map(\.topic)) == Set(Doctor.checks.map(\.topic)))
    }
}
