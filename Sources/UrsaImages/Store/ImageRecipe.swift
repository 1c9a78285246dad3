import UrsaBase

/// How an image of a name comes to be: one line of the catalogue, as the store needs it.
public struct ImageRecipe: Sendable, Hashable {
    /// Where the image is from.
    public enum Source: Sendable, Hashable {
        /// Made here by a builder: `tiny`, `debian-12`.
        case builder(String)
        /// Fetched from an address (https, or http with a checksum); the SHA-256 is 64 hexadecimal digits.
        case url(String, sha256: String?)
    }

    /// Name of the image.
    public var name: String
    /// Where it is from.
    public var source: Source
    /// Format of a fetched file; nil tells by its content, and raw by the address's suffix (`.img`, `.raw`).
    public var format: DiskFile.Format?
    /// TCP port in the machine that accepts connections once it is up.
    public var readyPort: UInt16?
    /// Whom to log in as by ssh.
    public var user: String?

    /// A recipe from its parts.
    public init(
        name: String, source: Source, format: DiskFile.Format? = nil, readyPort: UInt16? = nil, user: String? = nil
    ) {
        self.name = name
        self.source = source
        self.format = format
        self.readyPort = readyPort
        self.user = user
    }

    /// The images that Ursa builds itself, out of the host's own signed packages.
    public static let builtIn: [ImageRecipe] = [
        ImageRecipe(name: "tiny", source: .builder("tiny"), readyPort: 80),
        ImageRecipe(name: "debian:12", source: .builder("debian-12"), readyPort: 22, user: "root"),
    ]
}

/// The rule for names of images: `NAME` or `NAME:TAG`, of lower-case letters, digits, dots, hyphens and underscores,
/// each part starting with a letter or digit, at most 64 characters in all.
enum ImageName {
    /// Whether `text` names a file of the person's instead of an image: it starts with `/`, `./`, `../` or `~/`.
    static func isPath(_ text: String) -> Bool {
        ["/", "./", "../", "~/"].contains { text.hasPrefix($0) }
    }

    /// Throws `.usage` when `text` is no name.
    static func check(_ text: String) throws(UrsaError) {
        func good(_ part: Substring) -> Bool {
            guard let first = part.utf8.first, isWord(first) else { return false }
            return part.utf8.allSatisfy { isWord($0) || $0 == 45 || $0 == 46 || $0 == 95 }
        }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard text.utf8.count <= 64, parts.allSatisfy(good) else {
            throw UrsaError(
                .usage, "\"\(text.prefix(80))\" is no name for an image",
                remedy:
                    "use lower-case letters, digits, dots and hyphens, as in debian:12; a file needs its path: ./\(text.prefix(80))"
            )
        }
    }

    private static func isWord(_ byte: UInt8) -> Bool { (97...122).contains(byte) || (48...57).contains(byte) }
}
