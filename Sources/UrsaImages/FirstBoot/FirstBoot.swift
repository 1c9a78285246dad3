import Glibc
public import UrsaBase

/// What a machine is told at its first boot, in the form that cloud images read: cloud-init's NoCloud, a small ISO 9660
/// disk labelled CIDATA with the files meta-data, user-data and network-config.
///
/// Form: cloud-init's documentation, "NoCloud" and "Networking config version 2". user-data and network-config are JSON,
/// which is YAML too; meta-data is plain lines, so that images without cloud-init (Ursa's own) can read it by a few lines
/// of shell.
public struct FirstBoot: Sendable, Hashable {
    /// Host name: letters, digits and hyphens, at most 63.
    public var hostName: String
    /// Identity of the machine: a guest that sees a new one runs its first-boot work again. Letters, digits, hyphens.
    public var instanceIdentifier: String
    /// OpenSSH public keys that may log in: `TYPE BASE64 [COMMENT]`.
    public var sshKeys: [String]
    /// Whom they log in as; nil takes the image's own default user.
    public var user: String?
    /// Whether every network card is set up by DHCP and router advertisements; false leaves it to the image.
    public var networkByDHCP: Bool
    /// Ethernet addresses of the cards to set up; empty sets up every card whose name starts with `e`.
    public var cards: [MACAddress]

    /// A first boot; see the properties.
    public init(
        hostName: String, instanceIdentifier: String, sshKeys: [String] = [], user: String? = nil,
        networkByDHCP: Bool = true, cards: [MACAddress] = []
    ) {
        self.hostName = hostName
        self.instanceIdentifier = instanceIdentifier
        self.sshKeys = sshKeys
        self.user = user
        self.networkByDHCP = networkByDHCP
        self.cards = cards
    }

    /// Writes the seed disk; an older one at `path` is replaced in one step. Readable by every user (there is nothing
    /// secret in it, and engines run unprivileged).
    ///
    /// - Throws: `.invalidSpec` for a host name, identity, user or key that is malformed; `.notFound` when genisoimage,
    ///   mkisofs and xorriso are all missing.
    public func writeSeed(path: String) throws(UrsaError) {
        let files = try self.files()
        let target = Path.absolute(path)
        let folder = target + ".new-\(getpid())-" + hexadecimal((0..<4).map { _ in UInt8.random(in: 0...255) })
        try File.makeDirectory(folder, mode: 0o700)
        do throws(UrsaError) {
            try File.makeDirectory(folder + "/files")
            for (name, text) in files { try File.replace(folder + "/files/" + name, text: text, mode: 0o644) }
            let image = folder + "/seed.iso"
            let (program, mode) = try FirstBoot.isoProgram()
            // Rock Ridge keeps the names as they are for Linux and the BSDs, Joliet for the rest.
            let arguments = [
                "-quiet", "-output", image, "-volid", "CIDATA", "-rational-rock", "-joliet", folder + "/files",
            ]
            try Program(program, mode + arguments).require("make the first-boot disk \(target)", seconds: 60)
            try UrsaBase.check(chmod(image, 0o644) == 0 ? 0 : -errno, "open \(target) to readers")
            try retrying("put \(target) in place") { rename(image, target) }
        } catch {
            try? File.removeTree(folder)
            throw error
        }
        try File.removeTree(folder)
    }

    private static func isoProgram() throws(UrsaError) -> (String, [String]) {
        for name in ["genisoimage", "mkisofs"] where Path.program(name) != nil { return (name, []) }
        if Path.program("xorriso") != nil { return ("xorriso", ["-as", "mkisofs"]) }
        throw UrsaError(
            .notFound, "there is no program that makes a first-boot disk",
            remedy: "install genisoimage (Debian, Ubuntu: apt install genisoimage) or xorriso")
    }

    /// The files of the seed by name.
    func files() throws(UrsaError) -> [(String, String)] {
        try FirstBoot.require(hostName, "host name", most: 63)
        try FirstBoot.require(instanceIdentifier, "identity", most: 128)
        if let user { try FirstBoot.require(user, "user", most: 32, also: "_") }
        let keys = try sshKeys.map { (key) throws(UrsaError) in try FirstBoot.normalized(key) }

        var meta = "instance-id: \(instanceIdentifier)\nlocal-hostname: \(hostName)\n"
        if !keys.isEmpty { meta += "public-keys:\n" + keys.map { "  - \($0)\n" }.joined() }

        let keyList = JSON.array(keys.map { .string($0) })
        var config: [JSON.Member] = [
            JSON.Member("hostname", .string(hostName)), JSON.Member("preserve_hostname", false),
            JSON.Member("ssh_pwauth", false),
        ]
        switch user {
        case nil: config.append(JSON.Member("ssh_authorized_keys", keyList))
        case "root":
            config.append(JSON.Member("disable_root", false))
            config.append(JSON.Member("users", [["name": "root", "ssh_authorized_keys": keyList]]))
        case let user?:
            config.append(
                JSON.Member(
                    "users",
                    [
                        [
                            "name": .string(user), "ssh_authorized_keys": keyList, "shell": "/bin/bash",
                            "lock_passwd": true, "sudo": "ALL=(ALL) NOPASSWD:ALL",
                        ]
                    ]))
        }
        var files = [("meta-data", meta), ("user-data", "#cloud-config\n" + JSON.object(config).pretty + "\n")]
        if networkByDHCP { files.append(("network-config", network().pretty + "\n")) }
        return files
    }

    private func network() -> JSON {
        func card(_ match: JSON) -> JSON {
            ["match": match, "dhcp4": true, "dhcp6": false, "accept-ra": true, "dhcp-identifier": "mac"]
        }
        var list: [JSON.Member] = []
        for (index, address) in cards.enumerated() {
            list.append(JSON.Member("card\(index)", card(["macaddress": .string("\(address)")])))
        }
        if list.isEmpty { list.append(JSON.Member("cards", card(["name": "e*"]))) }
        return ["version": 2, "ethernets": .object(list)]
    }

    private static func require(_ text: String, _ what: String, most: Int, also: String = "") throws(UrsaError) {
        let good = text.utf8.allSatisfy { byte in
            (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || byte == 45
                || also.utf8.contains(byte)
        }
        guard good, !text.isEmpty, text.utf8.count <= most, !text.hasPrefix("-") else {
            throw UrsaError(
                .invalidSpec, "\"\(text.prefix(80))\" is no usable \(what) for a machine",
                remedy: "use letters, digits and hyphens, at most \(most)")
        }
    }

    /// A public key as `TYPE BASE64 [COMMENT]`; what the comment has beyond letters, digits and `@._-` becomes `_`, so the
    /// line is safe in every file it goes to.
    static func normalized(_ key: String) throws(UrsaError) -> String {
        let parts = key.trimmed.split(separator: " ", omittingEmptySubsequences: true)
        guard parts.count >= 2, parts[0].utf8.count <= 64, parts[1].utf8.count <= 16384,
            ["ssh-", "ecdsa-", "sk-"].contains(where: { parts[0].hasPrefix($0) }),
            parts[0].utf8.allSatisfy({ isWord($0) || "@.-".utf8.contains($0) }),
            parts[1].hasPrefix("AAAA"), parts[1].utf8.allSatisfy({ isWord($0) || "+/=".utf8.contains($0) })
        else {
            throw UrsaError(
                .invalidSpec, "\"\(key.prefix(40))…\" is no OpenSSH public key",
                remedy: "give one line of a .pub file: ssh-ed25519 AAAA… comment")
        }
        let comment = parts.dropFirst(2).joined(separator: "_").prefix(100).map { character in
            character.utf8.count == 1 && character.utf8.allSatisfy { isWord($0) || "@._-".utf8.contains($0) }
                ? character : "_"
        }
        return "\(parts[0]) \(parts[1])" + (comment.isEmpty ? "" : " " + String(comment))
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte)
    }
}
