import UrsaBase

/// What names may look like.
enum NameRules {
    /// Pattern of network and machine names for the schema; lengths are separate.
    static let pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$"
    /// Pattern of image names; a file is a path that starts with `/`, `./` or `../`.
    static let imagePattern = "^[a-z0-9][a-z0-9._-]*(:[A-Za-z0-9][A-Za-z0-9._-]*)?$"

    /// What is wrong with a name of `what` ("machine", "network"), nil when nothing is.
    static func fault(_ name: String, what: String, length: ClosedRange<Int>) -> (message: String, remedy: String)? {
        let bytes = Array(name.utf8)
        let isLetter = { (byte: UInt8) in (97...122).contains(byte) }
        let isDigit = { (byte: UInt8) in (48...57).contains(byte) }
        if bytes.count > length.upperBound {
            return (
                "the \(what) name \(shown(name)) has \(bytes.count) bytes",
                "at most \(length.upperBound) are allowed"
            )
        }
        guard let first = bytes.first, let last = bytes.last else {
            return ("a \(what) name is empty", "give the \(what) a name")
        }
        guard isLetter(first), isLetter(last) || isDigit(last),
            bytes.allSatisfy({ isLetter($0) || isDigit($0) || $0 == UInt8(ascii: "-") })
        else {
            return ("\(shown(name)) can't be a \(what) name", nameRemedy(name, length))
        }
        return nil
    }

    private static func nameRemedy(_ name: String, _ length: ClosedRange<Int>) -> String {
        let rule = "names are lower-case letters, digits and hyphens, start with a letter and don't end in a hyphen"
        var candidate = ""
        for scalar in name.lowercased().unicodeScalars {
            switch scalar {
            case "a"..."z", "0"..."9", "-": candidate.unicodeScalars.append(scalar)
            case "_", " ", ".": candidate += "-"
            default: return rule
            }
        }
        while candidate.hasSuffix("-") { candidate.removeLast() }
        while let first = candidate.first, !first.isLetter { candidate.removeFirst() }
        return candidate.isEmpty || candidate.utf8.count > length.upperBound ? rule : "\(rule): `\(candidate)`?"
    }

    /// What is wrong with the name of a link of the host, nil when nothing is. The kernel takes more
    /// (net/core/dev.c, `dev_valid_name`), but names also stand in rules and configuration files of other programs.
    static func interfaceFault(_ name: String) -> (message: String, remedy: String)? {
        let see = "`ip link` shows the names"
        guard !name.isEmpty else { return ("an interface has no name", see) }
        guard name.utf8.count <= 15 else {
            return ("the interface name \(shown(name)) has \(name.utf8.count) bytes", "Linux allows 15; \(see)")
        }
        guard isInterface(name) else { return ("\(shown(name)) can't be an interface's name", see) }
        if name == "lo" { return ("`lo` leads nowhere but to the host itself", see) }
        if isOurs(name) {
            return ("the interface \(shown(name)) is one of Ursa's own", "name one of the host's; \(see)")
        }
        return nil
    }

    /// Whether a text has the form of `Patterns.interface`.
    static func isInterface(_ name: String) -> Bool {
        guard let first = name.utf8.first, (1...15).contains(name.utf8.count) else { return false }
        let isWord = { (byte: UInt8) in isWordByte(byte, upper: true) || byte == 95 }
        return isWord(first) && name.utf8.allSatisfy { isWord($0) || $0 == 45 || $0 == 46 }
    }

    /// Whether Ursa gives out such names itself: stems and bridges `ursa-…`, taps `u123abct0`.
    private static func isOurs(_ name: String) -> Bool {
        if name.hasPrefix("ursa-") || name.hasPrefix("ursa.") { return true }
        let bytes = Array(name.utf8)
        guard bytes.count >= 9, bytes[0] == UInt8(ascii: "u"), bytes[7] == UInt8(ascii: "t") else { return false }
        return bytes[1..<7].allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
            && bytes[8...].allSatisfy { (48...57).contains($0) }
    }

    /// What is wrong with an image's name or path, nil when nothing is.
    static func imageFault(_ image: String) -> (message: String, remedy: String)? {
        let remedy = "name an image of `ursa image ls`, or a file by a path that starts with / or ./"
        guard !image.isEmpty else { return ("the image has no name", remedy) }
        guard !image.unicodeScalars.contains(where: isHarmful) else {
            return ("\(shown(image)) can't be an image", remedy)
        }
        if isPath(image) {
            guard image.utf8.count <= Limits.pathLength else {
                return (
                    "the path of the image has \(image.utf8.count) bytes", "at most \(Limits.pathLength) are allowed"
                )
            }
            guard !image.hasSuffix("/") else { return ("\(shown(image)) is a folder, no image", remedy) }
            return nil
        }
        guard image.utf8.count <= Limits.imageNameLength else {
            return ("the image name has \(image.utf8.count) bytes", "at most \(Limits.imageNameLength) are allowed")
        }
        if image.contains("://") {
            return ("\(shown(image)) is a URL, no image name", "get it first: ursa image pull \(shown(image))")
        }
        if image.contains("/") || image.hasPrefix("~") { return ("\(shown(image)) can't be an image name", remedy) }
        return isImageName(image) ? nil : ("\(shown(image)) can't be an image name", remedy)
    }

    /// Whether an image is given by the path of a file.
    static func isPath(_ image: String) -> Bool {
        image.hasPrefix("/") || image.hasPrefix("./") || image.hasPrefix("../")
    }

    /// Whether a text has the form of `imagePattern`.
    static func isImageName(_ name: String) -> Bool {
        let parts = name.split(separator: ":", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count) else { return false }
        for (index, part) in parts.enumerated() {
            guard let first = part.utf8.first, isWordByte(first, upper: index == 1) else { return false }
            let isFine = part.utf8.allSatisfy { isWordByte($0, upper: index == 1) || $0 == 46 || $0 == 95 || $0 == 45 }
            guard isFine else { return false }
        }
        return true
    }

    private static func isWordByte(_ byte: UInt8, upper: Bool) -> Bool {
        (97...122).contains(byte) || (48...57).contains(byte) || (upper && (65...90).contains(byte))
    }
}
