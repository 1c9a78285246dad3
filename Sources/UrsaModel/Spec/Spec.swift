public import UrsaFirewall

/// Everything one `ursa.yaml` asks for, checked and with every default filled in.
public struct Spec: Sendable, Hashable {
    /// Ways out of the host by order of the file; empty leaves the host's routing alone.
    public var uplinks: [UplinkSpec]
    /// Networks by order of the file.
    public var networks: [NetworkSpec]
    /// Who may speak to whom: the sections `zones`, `policy`, `rules` and `admins`.
    public var firewall: Firewall
    /// Ports of the host that lead into machines, besides the ones that machines publish.
    public var forwards: [ForwardSpec]
    /// Machines by order of the file.
    public var machines: [MachineSpec]

    /// Whether the file says something about the host as a whole: that one project only can do.
    public var saysHost: Bool {
        !uplinks.isEmpty || !forwards.isEmpty || !firewall.isPlain || !firewall.admins.isEmpty
    }

    /// A spec from its parts.
    public init(
        uplinks: [UplinkSpec] = [], networks: [NetworkSpec] = [], firewall: Firewall = Firewall(),
        forwards: [ForwardSpec] = [], machines: [MachineSpec] = []
    ) {
        self.uplinks = uplinks
        self.networks = networks
        self.firewall = firewall
        self.forwards = forwards
        self.machines = machines
    }
}
