import UrsaBase

/// What an OpenSSH public key looks like: `TYPE BASE64 [COMMENT]` (sshd(8), AUTHORIZED_KEYS FILE FORMAT), where the
/// decoded blob begins with the type's name as a string (RFC 4253 section 6.6).
enum SSHKeyRule {
    /// Types of OpenSSH 9 for users; certificates and DSA left out.
    static let types = [
        "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
    ]

    /// What is wrong with a key, nil when nothing is. Keys are told by nothing but their type, in case one is secret.
    static func fault(_ key: String) -> (message: String, remedy: String)? {
        let remedy = "paste the one line of a .pub file: `ssh-ed25519 AAAA… name`"
        if key.contains("PRIVATE KEY") {
            return ("this is a private ssh key", "remove it from the file, and use the one line of its .pub file")
        }
        guard key.utf8.count <= Limits.sshKeyLength else {
            return ("the ssh key has \(key.utf8.count) bytes", "at most \(Limits.sshKeyLength) are allowed")
        }
        guard !key.unicodeScalars.contains(where: isHarmful) else {
            return ("the ssh key is more than one line", remedy)
        }
        let words = key.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: true)
        guard let type = words.first else { return ("the ssh key is empty", remedy) }
        guard types.contains(String(type)) else {
            if key.hasPrefix("/") || key.hasPrefix("~") || key.hasPrefix("./") || key.hasSuffix(".pub") {
                return ("\(shown(key)) is a path, no ssh key", "paste the file's content")
            }
            if words.contains(where: { types.contains(String($0)) }) {
                return ("the ssh key has options before its type", "remove them: \(remedy)")
            }
            return ("no ssh key starts with \(shown(String(type.prefix(20))))", remedy)
        }
        guard words.count > 1, let blob = decodeBase64(words[1]) else {
            return ("the ssh key is cut off or mistyped", remedy)
        }
        let name = Array(type.utf8)
        let length = [0, 0, UInt8(truncatingIfNeeded: name.count >> 8), UInt8(truncatingIfNeeded: name.count)]
        guard blob.starts(with: length + name), blob.count > name.count + 8 else {
            return ("the ssh key is cut off, or is none of type \(shown(String(type)))", remedy)
        }
        return nil
    }

    /// Base64 with padding (RFC 4648 section 4), nil when malformed.
    private static func decodeBase64(_ text: Substring) -> [UInt8]? {
        guard text.utf8.count % 4 == 0 else { return nil }
        var out: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        var padding = 0
        for byte in text.utf8 {
            let value: UInt8
            switch byte {
            case 65...90: value = byte - 65
            case 97...122: value = byte - 71
            case 48...57: value = byte + 4
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            case UInt8(ascii: "="):
                padding += 1
                continue
            default: return nil
            }
            guard padding == 0 else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
                bits &= (1 << UInt32(count)) - 1
            }
        }
        return padding <= 2 ? out : nil
    }
}
