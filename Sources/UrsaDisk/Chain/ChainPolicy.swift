import UrsaBase

/// Which other files an image may make us open: its backing image and its external data file.
///
/// Whoever wrote an image chose those names. An image from a stranger that names `/etc/shadow` as its backing file would
/// put that into a guest, so a name that leads out of the image's own folder needs somebody's yes.
public struct ChainPolicy: Sendable {
    private enum Rule: Sendable { case anything, ownFolder, nothing }
    private var rule: Rule
    /// Absolute paths that are allowed whatever the rule.
    public var allowed: Set<String> = []
    /// Most images of a chain.
    public var longest = 200

    private init(_ rule: Rule) { self.rule = rule }

    /// For images of one's own: every file that the chain names.
    public static let trusted = ChainPolicy(.anything)
    /// For images from elsewhere: files beside the image or below, by relative names that stay there.
    public static let untrusted = ChainPolicy(.ownFolder)
    /// No other file at all.
    public static let alone = ChainPolicy(.nothing)

    /// Whether backing images without a stated format may be guessed although what the guess finds names more files.
    var mayGuessReferring: Bool { rule == .anything }

    /// Where the file is that `image` names as `name`, if it may be opened.
    func path(of name: String, in image: String, as role: String) throws(UrsaError) -> String {
        let plain = try ChainPolicy.plainName(name, in: image, as: role)
        let folder = Path.parent(image)
        let path = plain.hasPrefix("/") ? plain : (folder == "." ? plain : (folder == "/" ? "/" : folder + "/") + plain)
        if allowed.contains(Path.absolute(path)) { return path }
        let staysInside =
            !plain.hasPrefix("/") && !plain.split(separator: "/").contains("..") && !leavesByLink(path, folder)
        switch rule {
        case .anything: return path
        case .ownFolder where staysInside: return path
        default:
            throw UrsaError(
                .permission, "\(image) names \(plain) as its \(role), outside of its own folder",
                remedy: "if you trust the image, allow that file (--allow \(Path.absolute(path)))")
        }
    }

    /// Whether the path leads elsewhere by symbolic links.
    private func leavesByLink(_ path: String, _ folder: String) -> Bool {
        guard let real = File.realPath(path) else { return false }
        guard let base = File.realPath(folder) else { return true }
        return !real.hasPrefix(base == "/" ? "/" : base + "/")
    }

    /// The name without QEMU's `file:`; other protocols and JSON descriptions are not opened here.
    static func plainName(_ name: String, in image: String, as role: String) throws(UrsaError) -> String {
        guard let colon = name.firstIndex(of: ":"), !name[..<colon].contains("/") else { return name }
        let scheme = name[..<colon]
        if scheme == "file" { return String(name[name.index(after: colon)...]) }
        throw UrsaError(
            .unsupported, "\(image) names \(name) as its \(role), which is not a plain file",
            remedy: "use qemu-img for images over '\(scheme):'")
    }
}
