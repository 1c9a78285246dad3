import CLinux
import Glibc
public import UrsaBase
import UrsaRootless

/// Where Ursa's state lives: one folder with the store, the images and the machines.
///
/// ```
/// FOLDER/store.sqlite    what is wanted and what has been given out
///        images/         the image store
///        machines/NAME/  disk, sockets, logs and status of one machine
///        events.jsonl    what happened, a line each
///        net/            journal of host settings that networks changed
///        ssh/            the key that `ursa ssh` logs in with
/// ```
/// State that a reboot must wipe is in the run folder: sockets and files of the networks' dnsmasq.
public struct Home: Sendable, Hashable {
    /// Absolute path of the state folder.
    public let folder: String
    /// Whether this is the folder that Ursa takes when URSA_HOME names none.
    public let isDefault: Bool
    /// Whether the caller may make networks: as root of the host, or as an ordinary user inside the private host.
    public let isRoot: Bool
    /// Whether the caller is inside the private host of an ordinary user.
    public let isRootless: Bool

    /// Names a home; nothing is touched.
    public init(folder: String, isDefault: Bool = false) {
        self.folder = folder
        self.isDefault = isDefault
        isRoot = geteuid() == 0
        isRootless = RootlessHost.isInside
    }

    /// Whether it is somebody else's home that is only looked at: its networks may be up although the caller can't see them.
    public var isForeign: Bool { !isRoot && (File.status(folder).map { $0.st_uid != geteuid() } ?? false) }

    /// The home that the environment asks for: URSA_HOME, else `/var/lib/ursa` for root, else `$XDG_DATA_HOME/ursa`
    /// or `~/.local/share/ursa`.
    ///
    /// - Throws: `.usage` when URSA_HOME is relative, or when a user has neither HOME nor URSA_HOME.
    public static func fromEnvironment() throws(UrsaError) -> Home {
        if let wanted = variable("URSA_HOME") {
            guard wanted.hasPrefix("/") else {
                throw UrsaError(
                    .usage, "URSA_HOME must be an absolute path", place: "URSA_HOME=\(wanted)",
                    remedy: "URSA_HOME=\(Path.absolute(wanted))")
            }
            return Home(folder: wanted.count > 1 && wanted.hasSuffix("/") ? String(wanted.dropLast()) : wanted)
        }
        if geteuid() == 0, !RootlessHost.isInside { return Home(folder: "/var/lib/ursa", isDefault: true) }
        if let data = variable("XDG_DATA_HOME"), data.hasPrefix("/") {
            return Home(folder: data + "/ursa", isDefault: true)
        }
        guard let person = variable("HOME"), person.hasPrefix("/") else {
            throw UrsaError(
                .usage, "neither URSA_HOME nor HOME is set", remedy: "set URSA_HOME to a folder for Ursa's state")
        }
        return Home(folder: person + "/.local/share/ursa", isDefault: true)
    }

    /// Makes the folders that are missing.
    ///
    /// - Throws: `.io` or `.permission` naming the folder that can't be made.
    public func prepare() throws(UrsaError) {
        // Passable for all, listable for the owner only: engines run as users of their own and get descriptors,
        // but dnsmasq must be able to walk to its files.
        for path in [folder, machinesFolder, imagesFolder, networkFolder] where !File.isDirectory(path) {
            try File.makeDirectory(path, mode: 0o711)
        }
    }

    /// The machines' folders.
    public var machinesFolder: String { folder + "/machines" }
    /// One machine's folder.
    public func machineFolder(_ name: String) -> String { machinesFolder + "/" + name }
    /// The image store.
    public var imagesFolder: String { folder + "/images" }
    /// Journal of the networks.
    public var networkFolder: String { folder + "/net" }
    /// An ordinary user's private host: what its holder needs, and in `run` what would be in /run.
    public var rootlessFolder: String { folder + "/rootless" }
    /// The event log, JSON lines.
    public var eventsPath: String { folder + "/events.jsonl" }
    /// The database.
    public var storePath: String { folder + "/store.sqlite" }
    /// The lock that one change of the host's networks at a time holds.
    public var hostLockPath: String { folder + "/host.lock" }
    /// The machines' locks, one slot each, held while a machine is made, started, stopped or deleted.
    public var machineLocksPath: String { folder + "/machines.lock" }
    /// What is known of the installed QEMU, so that it need not be asked each time.
    public var qemuCachePath: String { folder + "/qemu.json" }
    /// The key pair of `ursa ssh`.
    public var sshKeyPath: String { folder + "/ssh/id_ed25519" }

    private static func variable(_ name: String) -> String? {
        guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
        return value
    }
}
