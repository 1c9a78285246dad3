import UrsaBase

/// Columns of text, as wide as their widest cell.
struct Table {
    private let headers: [String]
    private var rows: [[String]] = []

    /// A table with these headers.
    init(_ headers: String...) { self.headers = headers }

    /// Adds a row with as many cells as there are headers; unprintable characters are shown as escapes.
    mutating func add(_ cells: String...) { rows.append(cells.map(printable)) }

    /// Lines ended by a line feed. With a width, longer lines are cut off.
    func text(width: Int?) -> String {
        let all = [headers] + rows
        let widths = headers.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        var out = ""
        for row in all {
            var line = ""
            for (column, cell) in row.enumerated() {
                line += column == row.count - 1 ? cell : cell.padded(widths[column] + 2)
            }
            while line.last == " " { line.removeLast() }
            if let width, line.count > width, width > 1 { line = line.prefix(width - 1) + "…" }
            out += line + "\n"
        }
        return out
    }

    /// Prints the table; on a terminal, lines are cut to its width.
    func print() { Screen.write(text(width: Terminal.isOutput ? Terminal.size?.columns : nil)) }
}

/// A time span for people: `12s`, `3m`, `2h 5m`, `4d 3h`.
func span(_ seconds: Double) -> String {
    // Clocks jump and stores may lie: a nonsensical number must not trap.
    guard seconds.isFinite, seconds < 1e11 else { return "?" }
    let whole = Int(max(0, seconds))
    switch whole {
    case ..<60: return "\(whole)s"
    case ..<3600: return "\(whole / 60)m"
    case ..<86400: return "\(whole / 3600)h" + (whole % 3600 >= 60 ? " \(whole % 3600 / 60)m" : "")
    default: return "\(whole / 86400)d" + (whole % 86400 >= 3600 ? " \(whole % 86400 / 3600)h" : "")
    }
}
