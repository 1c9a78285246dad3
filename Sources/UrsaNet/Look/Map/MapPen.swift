import UrsaBase

/// A rectangle of the picture, in its units (pixels at full size).
struct MapBox: Sendable, Hashable {
    var x: Int
    var y: Int
    var width: Int
    var height: Int
    var right: Int { x + width }
    var bottom: Int { y + height }
    var middle: Int { x + width / 2 }

    /// Whether the two share an area.
    func overlaps(_ other: MapBox) -> Bool {
        x < other.right && other.x < right && y < other.bottom && other.y < bottom
    }
}

/// How a text is set; the classes of the style sheet with what their letters take.
enum MapFont: String, Sendable {
    case title = "t", heading = "h", mono = "m", plain = ""

    /// The width of a text, a little too much rather than too little.
    func width(_ text: String) -> Double {
        switch self {
        case .mono: Double(text.count) * 7.25
        case .title: sans(text, 15) * 1.12
        case .heading: sans(text, 20) * 1.12
        case .plain: sans(text, 13)
        }
    }

    private func sans(_ text: String, _ size: Double) -> Double {
        text.reduce(0) { sum, letter in
            let share =
                if "iljtfrI.,:;'|!()[]/- ".contains(letter) { 0.40 } else if "mwMW—…→".contains(letter) { 1.0 } else {
                    letter.isASCII ? 0.66 : 1.0
                }
            return sum + share * size
        }
    }

    /// The text, or as much of its start as fits, with an ellipsis.
    func fit(_ text: String, _ room: Int) -> String {
        if width(text) <= Double(room) { return text }
        var kept = text
        while !kept.isEmpty, width(kept + "…") > Double(room) { kept.removeLast() }
        return kept + "…"
    }
}

/// Writes the elements of the picture.
struct MapPen {
    private(set) var elements: [String] = []
    /// Every box that was drawn solid, for the tests: none may cover another.
    private(set) var boxes: [MapBox] = []

    mutating func box(_ box: MapBox, _ style: String, radius: Int = 6, title: String? = nil, isFrame: Bool = false) {
        if !isFrame { boxes.append(box) }
        let start =
            "<rect x=\"\(box.x)\" y=\"\(box.y)\" width=\"\(box.width)\" height=\"\(box.height)\" rx=\"\(radius)\" class=\"\(style)\""
        elements.append(start + (title.map { "><title>\(Self.escaped($0))</title></rect>" } ?? "/>"))
    }

    /// A line of text, cut to `room` with the whole of it as a tooltip.
    mutating func text(
        _ text: String, _ x: Int, _ y: Int, _ font: MapFont = .plain, room: Int, style: String = "",
        anchor: String? = nil
    ) {
        guard !text.isEmpty else { return }
        let shown = font.fit(text, room)
        let classes = [font.rawValue, style].filter { !$0.isEmpty }.joined(separator: " ")
        var element = "<text x=\"\(x)\" y=\"\(y)\""
        if !classes.isEmpty { element += " class=\"\(classes)\"" }
        if let anchor { element += " text-anchor=\"\(anchor)\"" }
        element += ">"
        if shown != text { element += "<title>\(Self.escaped(text))</title>" }
        elements.append(element + Self.escaped(shown) + "</text>")
    }

    /// A line over corners.
    mutating func wire(_ points: [(Int, Int)], _ style: String) {
        let path = points.map { "\($0.0),\($0.1)" }.joined(separator: " ")
        elements.append("<polyline points=\"\(path)\" class=\"\(style)\"/>")
    }

    mutating func dot(_ x: Int, _ y: Int, _ radius: Int, _ style: String) {
        elements.append("<circle cx=\"\(x)\" cy=\"\(y)\" r=\"\(radius)\" class=\"\(style)\"/>")
    }

    /// Text for XML 1.0: markup escaped, characters that no document may hold replaced.
    static func escaped(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            case "'": out += "&#39;"
            default:
                let isAllowed =
                    scalar.value >= 0x20 && !(0x7f...0x9f).contains(scalar.value) && scalar.value & 0xfffe != 0xfffe
                out.unicodeScalars.append(isAllowed ? scalar : "?")
            }
        }
        return out
    }
}
