/// The looks of the picture: one style sheet for light and dark screens and for paper.
enum MapStyle {
    /// Tint, line and text colour, for light and for dark.
    struct Colour {
        var tint: String
        var line: String
        var darkTint: String
        var darkLine: String
    }

    /// Told apart by most eyes, also by those that see red and green alike (after Okabe and Ito).
    static let colours: [Colour] = [
        Colour(tint: "#e6f0fa", line: "#0b63b0", darkTint: "#122a40", darkLine: "#6db3f2"),
        Colour(tint: "#fdf0dc", line: "#b26a00", darkTint: "#3a2a10", darkLine: "#f0b252"),
        Colour(tint: "#e2f5ee", line: "#00775a", darkTint: "#0f332a", darkLine: "#4fd1a8"),
        Colour(tint: "#f7e8f2", line: "#a13d7a", darkTint: "#3a1a2f", darkLine: "#e79cc8"),
        Colour(tint: "#fbe9e4", line: "#b83a10", darkTint: "#3f1d12", darkLine: "#f4956f"),
        Colour(tint: "#e3f4fb", line: "#1d7fa5", darkTint: "#10303d", darkLine: "#79cdf0"),
        Colour(tint: "#f4f1da", line: "#7d7400", darkTint: "#2f2c0e", darkLine: "#d9cd52"),
        Colour(tint: "#ececf4", line: "#55557f", darkTint: "#26263a", darkLine: "#b0b0de"),
    ]

    static let mono = "'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace"
    static let sans = "'DejaVu Sans','Segoe UI','Helvetica Neue',Arial,sans-serif"

    /// The style sheet.
    static var css: String {
        var lines = [
            ".paper{fill:#fff}",
            "text{font-family:\(sans);font-size:13px;fill:#1c1f24}",
            ".t{font-size:15px;font-weight:bold}",
            ".h{font-size:20px;font-weight:bold}",
            ".m{font-family:\(mono);font-size:12px}",
            ".d{fill:#5a6270}",
            ".host{fill:#f5f6f8;stroke:#3c434d;stroke-width:1.5}",
            ".out{fill:#fafafa;stroke:#8a929e;stroke-dasharray:6 4}",
            ".box{fill:#fff;stroke:#3c434d}",
            ".off{stroke-dasharray:4 3;stroke:#8a929e}",
            ".off-t{fill:#8a929e}",
            ".wire{fill:none;stroke:#3c434d;stroke-width:1.5}",
            ".on{fill:#00875a}", ".not{fill:#fff;stroke:#8a929e;stroke-width:1.5}", ".bad{fill:#c62828}",
            ".bad-t{fill:#c62828;font-weight:bold}",
        ]
        for (number, colour) in colours.enumerated() {
            lines.append(".z\(number){fill:\(colour.tint);stroke:\(colour.line);stroke-width:1.5}")
            lines.append(".w\(number){fill:none;stroke:\(colour.line);stroke-width:2}")
            lines.append(".b\(number){fill:\(colour.line)}")
            lines.append(".x\(number){fill:\(colour.line);font-weight:bold}")
        }
        lines.append("@media (prefers-color-scheme:dark){")
        lines += [
            ".paper{fill:#14171b}", "text{fill:#e6e9ee}", ".d{fill:#9aa4b2}", ".host{fill:#1c2026;stroke:#a8b1be}",
            ".out{fill:#181b20;stroke:#6b7480}", ".box{fill:#14171b;stroke:#a8b1be}", ".off{stroke:#6b7480}",
            ".off-t{fill:#7d8794}", ".wire{stroke:#a8b1be}", ".on{fill:#4fd1a8}",
            ".not{fill:#14171b;stroke:#7d8794}", ".bad{fill:#ff7a6b}", ".bad-t{fill:#ff7a6b}",
        ]
        for (number, colour) in colours.enumerated() {
            lines.append(".z\(number){fill:\(colour.darkTint);stroke:\(colour.darkLine)}")
            lines.append(".w\(number){stroke:\(colour.darkLine)}")
            lines.append(".b\(number),.x\(number){fill:\(colour.darkLine)}")
        }
        lines.append("}")
        return lines.joined(separator: "\n")
    }
}
