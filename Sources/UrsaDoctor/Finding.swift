public import UrsaBase

/// One thing that `ursa doctor` found out about the host: one line, and the one command that mends it.
public struct Finding: Sendable, Hashable {
    /// How much it matters.
    public enum Severity: String, Sendable, Hashable, CaseIterable {
        /// As it should be.
        case ok
        /// Good to know; nothing is lost.
        case note
        /// Something will be slower, or a part of Ursa will not work.
        case warning
        /// Machines or their networks will not work.
        case problem
    }

    /// How much it matters.
    public var severity: Severity
    /// What it is about, one word: `kvm`, `firewall`, `disk`.
    public var topic: String
    /// What is so, one line.
    public var message: String
    /// The one command, ready to be pasted into a shell, that mends it; nil where no command can.
    public var remedy: String?

    /// A finding. Control characters (names of processes and chains come from strangers) are replaced.
    public init(_ severity: Severity, _ topic: String, _ message: String, remedy: String? = nil) {
        self.severity = severity
        self.topic = topic
        self.message = Finding.printable(message)
        self.remedy = remedy.map(Finding.printable)
    }

    /// The finding as an object: `severity`, `topic`, `message`, `remedy`.
    public var json: JSON {
        .record([
            "severity": .string(severity.rawValue), "topic": .string(topic), "message": .string(message),
            "remedy": remedy.map { .string($0) },
        ])
    }

    /// The text without C0, DEL and C1 control characters, which could command a terminal.
    static func printable(_ text: String) -> String {
        var clean = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
            clean.append(isControl ? "?" : scalar)
        }
        return String(clean)
    }
}
