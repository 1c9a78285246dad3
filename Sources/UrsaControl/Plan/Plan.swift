public import UrsaBase

/// One line of a plan.
public struct PlanLine: Sendable, Hashable, CustomStringConvertible {
    /// `+` made, `-` taken away, `~` changed, `!` destroys data or needs a restart, blank for remarks.
    public var sign: Character
    /// What it is about.
    public var text: String
    /// Depth: 0 for what was asked for, 1 for what changes on the host for it.
    public var indent: Int

    /// The line as it is shown: indented by two blanks for each level.
    public var description: String { String(repeating: "  ", count: max(0, min(indent, 20))) + "\(sign) \(text)" }

    init(_ sign: Character, _ text: String, indent: Int = 0) {
        self.sign = sign
        self.text = text
        self.indent = indent
    }

    /// A step's line: its first character is the sign.
    init(step: any Step) {
        let line = step.line
        let sign = line.first ?? " "
        self.init(sign, line.dropFirst().trimmed, indent: 1)
    }
}

/// What a command would change, in the order in which it would.
public struct Plan: Sendable {
    /// The changes.
    public var lines: [PlanLine]
    /// A plan of these lines.
    public init(lines: [PlanLine]) { self.lines = lines }
    /// Whether nothing would change.
    public var isEmpty: Bool { lines.isEmpty }
    /// The plan as JSON.
    public var json: JSON {
        .record([
            "changes": .array(
                lines.map { line in
                    .record([
                        "sign": .string(String(line.sign)), "change": .string(line.text),
                        "level": .string(line.indent == 0 ? "wish" : "host"),
                    ])
                })
        ])
    }
}

/// What `up`, `start` and their like tell while they work.
public enum Report: Sendable {
    /// A finished piece of work, one line.
    case line(String)
    /// News of a machine: its name and what became of it (`running`, `reachable at 10.77.0.10 after 2.3 s`).
    case machine(String, String)
}

/// How `up` goes about it.
public struct UpOptions: Sendable {
    /// Return only when every machine is reachable.
    public var wait = false
    /// Seconds to wait for that.
    public var timeout: Double = 120
    /// Restart running machines whose settings changed.
    public var restartChanged = false
    /// The defaults.
    public init() {}
}

/// How machines are stopped.
public struct StopOptions: Sendable {
    /// Seconds from the power button to the kill; nil takes each machine's own.
    public var seconds: Int?
    /// Don't ask the guest: end the engine at once.
    public var kill = false
    /// The defaults.
    public init() {}
}
