import UrsaBase

/// Checksums of whole files.
enum FileDigest {
    /// SHA-256 of a file as 64 hexadecimal digits, by the sha256sum program, which uses the processor's instructions.
    static func sha256(_ path: String) throws(UrsaError) -> String {
        let text = try Program("sha256sum", ["--binary", "--", path]).require("read \(path)", seconds: 3600)
        // A name with a backslash or line feed in it makes sha256sum put a backslash before the digest.
        let digest = text.drop { $0 == "\\" }.prefix(64)
        guard isSHA256(String(digest)) else {
            throw UrsaError(.io, "sha256sum answered something else than a checksum", place: path)
        }
        return String(digest)
    }

    /// Whether a text is a SHA-256 in hexadecimal digits, of either case.
    static func isSHA256(_ text: String) -> Bool {
        text.utf8.count == 64 && text.allSatisfy { $0.isASCII && $0.isHexDigit }
    }
}
