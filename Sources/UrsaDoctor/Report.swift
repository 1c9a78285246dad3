import UrsaBase

extension Doctor {
    /// The findings as a table: mark, topic, message, and below it the command that mends it.
    ///
    /// - Parameter terminal: colours and signs; otherwise words, one finding a line.
    public static func render(_ findings: [Finding], terminal: Bool) -> String {
        let width = findings.map(\.topic.count).max() ?? 0
        var lines: [String] = []
        for finding in findings {
            let topic = finding.topic.padded(width)
            guard terminal else {
                let remedy = finding.remedy.map { " — \($0)" } ?? ""
                lines.append("\(finding.severity.rawValue.padded(7))  \(topic)  \(finding.message)\(remedy)")
                continue
            }
            let (sign, colour) = mark(finding.severity)
            lines.append("\u{1b}[\(colour)m\(sign)\u{1b}[0m \(topic)  \(finding.message)")
            if let remedy = finding.remedy {
                lines.append(String(repeating: " ", count: width + 4) + "\u{1b}[1m$ \(remedy)\u{1b}[0m")
            }
        }
        lines.append(summary(findings))
        return lines.joined(separator: "\n") + "\n"
    }

    private static func mark(_ severity: Finding.Severity) -> (sign: String, colour: Int) {
        switch severity {
        case .ok: ("✓", 32)
        case .note: ("·", 36)
        case .warning: ("!", 33)
        case .problem: ("✗", 31)
        }
    }

    private static func summary(_ findings: [Finding]) -> String {
        let problems = findings.count { $0.severity == .problem }
        let warnings = findings.count { $0.severity == .warning }
        if problems == 0, warnings == 0 { return "This host is ready." }
        func counted(_ count: Int, _ word: String) -> String { count == 1 ? "1 \(word)" : "\(count) \(word)s" }
        let parts = [
            problems > 0 ? counted(problems, "problem") : nil, warnings > 0 ? counted(warnings, "warning") : nil,
        ]
        return parts.compactMap { $0 }.joined(separator: ", ") + "."
    }
}
