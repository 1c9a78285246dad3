import UrsaBase

/// Whose objects these are: one home of Ursa (a state folder) marks everything that it makes on the host with its id,
/// finds it again by the mark, and never touches what carries another or none. So two homes can share a host.
public struct HomeMark: Sendable, Hashable {
    /// Eight lower-case hexadecimal digits.
    public let id: String
    /// The system's usual home has short names: namespace and link `ursa-NET`, table `ursa`. Other homes' names
    /// contain the id, so that they never meet.
    public let isDefault: Bool
    /// Folder that outlives a reboot; holds the journal of changed kernel settings.
    public let folder: String
    /// Folder that a reboot empties (tmpfs); holds what belongs to running networks. dnsmasq reads in it as its own
    /// unprivileged user when the folders above let it pass.
    public let runFolder: String
    /// The file in which the host looks up names, `/etc/hosts`.
    public let hostsFile: String

    /// Names a home; see the properties.
    public init(id: String, isDefault: Bool, folder: String, runFolder: String, hostsFile: String = "/etc/hosts") {
        self.id = id
        self.isDefault = isDefault
        self.folder = folder
        self.runFolder = runFolder
        self.hostsFile = hostsFile
    }

    // `ursa.ID.` can't be the start of a default home's name: network names have no dots.
    private var prefix: String { isDefault ? "ursa-" : "ursa.\(id)." }

    /// Name of a network's namespace, as `ip netns list` prints it.
    public func namespaceName(_ network: String) -> String { prefix + network }

    /// Name of the host's end of a network's stem. Link names have at most 15 bytes, so long ones become a digest; the
    /// link's alias always tells the network.
    public func stemName(_ network: String) -> String {
        let name = prefix + network
        if isDefault, name.utf8.count <= 15 { return name }
        return "ursa-" + hexadecimal(SHA256.digest("stem \(id) \(network)").prefix(5))
    }

    /// The host's nftables table, family inet.
    public var tableName: String { isDefault ? "ursa" : "ursa-\(id)" }

    /// The mark that links of a network carry as their alias.
    public func alias(_ network: String) -> String { "ursa:\(id):\(network)" }

    /// The network of a marked link; nil when the mark is not this home's.
    func network(alias: String?) -> String? {
        guard let alias, alias.hasPrefix("ursa:\(id):") else { return nil }
        return String(alias.dropFirst(6 + id.utf8.count))
    }

    /// The network of a namespace by its name; nil when the name is not one of this home's.
    func network(namespace: String) -> String? {
        guard namespace.hasPrefix(prefix), namespace.utf8.count > prefix.utf8.count else { return nil }
        return String(namespace.dropFirst(prefix.utf8.count))
    }

    /// The namespace of a network.
    func namespace(_ network: String) -> NetworkNamespace { NetworkNamespace(name: namespaceName(network)) }

    /// Where a running network's files are.
    func folder(network: String) -> String { "\(runFolder)/net/\(network)" }

    /// A stable Ethernet address for an object of this home: locally administered, first byte `fe`, so that a bridge
    /// never takes it for its own and guests' (`52:54:00`) are never met.
    func mac(_ object: String) -> [UInt8] { [0xfe] + SHA256.digest("mac \(id) \(object)").prefix(5) }
}
