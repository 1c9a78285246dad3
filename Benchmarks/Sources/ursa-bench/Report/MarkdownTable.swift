/// The table of docs/benchmarks.md.
enum MarkdownTable {
    static func text(_ figures: [Figure], facts: [String]) -> String {
        var lines = facts.map { "- \($0)" }
        lines += [
            "", "| figure | ours; peer | ours (min–max) | peer (min–max) | ratio | goal | |",
            "|---|---|--:|--:|--:|--:|---|",
        ]
        for figure in figures {
            func cell(_ series: Series) -> String {
                "\(short(series.median)) \(figure.unit) (\(short(series.least))–\(short(series.most)))"
            }
            let goal =
                switch figure.goal {
                case .ratio(let limit): "≤ \(fixed(limit, 2)) ×"
                case .value(let limit): "≤ \(fixed(limit, 0)) \(figure.unit)"
                }
            let cells = [
                "`\(figure.name)`", figure.meaning, cell(figure.ours), cell(figure.peer), fixed(figure.ratio, 3), goal,
                figure.passes ? "PASS" : "SHORT",
            ]
            lines.append("| \(cells.joined(separator: " | ")) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
