import UrsaBase

/// Images that are files of the person's.
enum ImagePath {
    /// A path that starts with `./` or `../`, taken from a folder and without dots; anything else as it is.
    static func absolute(_ image: String, from folder: String) -> String {
        guard image.hasPrefix("./") || image.hasPrefix("../") else { return image }
        var parts = Path.absolute(folder).split(separator: "/")
        for part in image.split(separator: "/") {
            switch part {
            case ".": continue
            case "..": _ = parts.popLast()
            default: parts.append(part)
            }
        }
        return "/" + parts.joined(separator: "/")
    }
}
