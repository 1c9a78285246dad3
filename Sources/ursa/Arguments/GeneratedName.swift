import UrsaBase

/// Names for things that a person did not name.
enum GeneratedName {
    /// The first free name for a machine of this image: `debian-1` for `debian:12`.
    static func machine(image: String, taken: [String]) -> String {
        let name = image.contains("/") ? withoutExtension(Path.name(image)) : String(image.prefix { $0 != ":" })
        let base = String(cleaned(name).prefix(50))
        let used = Set(taken)
        var number = 1
        while used.contains("\(base)-\(number)") { number += 1 }
        return "\(base)-\(number)"
    }

    /// The name of an image for a URL: its file without extension; nil when there is none.
    static func base(url: String) -> String? {
        let path = url.prefix { $0 != "?" && $0 != "#" }
        guard let start = path.firstRange(of: "://")?.upperBound, path[start...].contains("/") else { return nil }
        let file = withoutExtension(Path.name(String(path)))
        return file.isEmpty ? nil : String(cleaned(file).prefix(50))
    }

    private static func withoutExtension(_ file: String) -> String {
        for ending in [".qcow2", ".img", ".raw", ".vmdk", ".iso"] where file.lowercased().hasSuffix(ending) {
            return String(file.dropLast(ending.count))
        }
        return file
    }

    /// Lower-case letters, digits and single hyphens, a letter first.
    private static func cleaned(_ text: String) -> String {
        var out = ""
        for character in text.prefix(200).lowercased() {
            if character.isASCII, character.isLetter || character.isNumber {
                out.append(character)
            } else if out.last != "-", !out.isEmpty {
                out.append("-")
            }
        }
        while out.last == "-" { out.removeLast() }
        guard let first = out.first else { return "machine" }
        return first.isLetter ? out : "m-" + out
    }
}
