import Glibc
public import UrsaBase
import UrsaImages
import UrsaModel

extension Ursa {
    /// Ursa's own public key, made with the first machine that wants one.
    func ownKey() throws(UrsaError) -> String {
        let path = home.sshKeyPath
        if !File.exists(path + ".pub") {
            try File.makeDirectory(Path.parent(path), mode: 0o700)
            try FileLock.holding(Path.parent(path) + "/.lock") { () throws(UrsaError) in
                if File.exists(path + ".pub") { return }
                try File.remove(path)
                try Program("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "ursa", "-f", path])
                    .require("make a key for ursa ssh")
            }
        }
        return try File.readText(path + ".pub").trimmed
    }

    /// The first-boot seed of images that read one: host name, keys, network.
    func writeSeed(_ record: MachineRecord) throws(UrsaError) {
        guard record.image.seed == .noCloud else { return }
        let seed = FirstBoot(
            hostName: record.name, instanceIdentifier: record.id, sshKeys: [try ownKey()] + record.spec.sshKeys,
            user: record.image.user, cards: record.cards.map(\.mac))
        try seed.writeSeed(path: home.machineFolder(record.name) + "/seed.iso")
    }

    /// The ssh program with its arguments to reach a machine.
    ///
    /// - Throws: `.unsupported` when the image has no ssh server, `.conflict` when the machine does not run.
    public func ssh(_ name: String, user: String?, command: [String]) throws(UrsaError) -> Program {
        let store = try Store(home: home)
        let record = try record(name, store)
        guard let login = user ?? record.image.user else {
            throw UrsaError(
                .unsupported, "image \(record.spec.image) has no ssh server", place: "machine \(name)",
                remedy: "`ursa console \(name)` reaches its shell")
        }
        guard home.runState(name).engineLives else {
            throw UrsaError(.conflict, "machine \(name) is not running", remedy: "`ursa start --wait \(name)`")
        }
        var target: [String]
        if let address = record.cards.compactMap(\.address).first {
            target = ["\(login)@\(address)"]
        } else if let port = record.spec.publish.first(where: { $0.guestPort == 22 && $0.transport == .tcp }) {
            let address = port.hostAddress.map(\.description) ?? "127.0.0.1"
            target = ["-p", String(port.hostPort), "\(login)@\(address == "0.0.0.0" ? "127.0.0.1" : address)"]
        } else {
            throw UrsaError(
                .unsupported, "machine \(name) has user networking and publishes no ssh port",
                remedy: "publish one: `publish: [\"2222:22\"]`")
        }
        target += command.isEmpty ? [] : ["--"] + command
        return Program(
            "ssh",
            [
                "-i", home.sshKeyPath, "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=accept-new",
                "-o", "UserKnownHostsFile=\(home.machineFolder(name))/known_hosts", "-o", "LogLevel=ERROR",
                "-o", "HostKeyAlias=\(name)",
            ] + target)
    }
}
