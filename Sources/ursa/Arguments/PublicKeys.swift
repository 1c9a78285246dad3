import Glibc
import UrsaBase

/// Files of OpenSSH public keys.
enum PublicKeys {
    /// The keys of a file, one on each line (sshd(8), AUTHORIZED_KEYS FILE FORMAT), without comments.
    ///
    /// - Throws: `.usage` when the file holds no key or a private one.
    static func read(_ path: String) throws(UrsaError) -> [String] {
        guard !path.isEmpty, let status = File.status(path) else {
            throw UrsaError(.notFound, "there is no file \(path)", remedy: "give a file such as ~/.ssh/id_ed25519.pub")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw UrsaError(.usage, "\(path) is no regular file", remedy: "give a file such as ~/.ssh/id_ed25519.pub")
        }
        let text = try File.readText(path, limit: 1 << 16)
        guard !text.contains("PRIVATE KEY") else {
            throw UrsaError(.usage, "\(path) holds a private key", remedy: "give the public one, \(path).pub")
        }
        let keys = text.split(whereSeparator: \.isNewline).map { $0.trimmed }.filter {
            !$0.isEmpty && !$0.hasPrefix("#")
        }
        let kinds = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"]
        guard !keys.isEmpty, keys.allSatisfy({ key in kinds.contains { key.hasPrefix($0) } }) else {
            throw UrsaError(.usage, "\(path) holds no public key", remedy: "give a file such as ~/.ssh/id_ed25519.pub")
        }
        return keys
    }
}
