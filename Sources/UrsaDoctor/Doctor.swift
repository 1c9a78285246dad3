/// What this host can and can't do for virtual machines, and the one command that mends each fault.
public struct Doctor: Sendable {
    /// Every question that is asked, in order of the report.
    public static let checks: [any Check] =
        [
            PrivilegeCheck(),
            ProcessorCheck(),
            KVMDeviceCheck(),
            KernelModulesCheck(),
            TunDeviceCheck(),
            VhostCheck(),
            ProgramsCheck(),
        ] + networkChecks + [
            DiskSpaceCheck(),
            MemoryCheck(),
            MemoryMergingCheck(),
            ControlGroupsCheck(),
            LimitsCheck(),
            ClockCheck(),
            UserNamespacesCheck(),
            SecurityModuleCheck(),
        ]

    /// The questions about networks among them, which `ursa net doctor` asks alone.
    public static let networkChecks: [any Check] = [
        ForwardingCheck(),
        FirewallCheck(),
        BridgeFilterCheck(),
        BridgePortsCheck(),
        WirelessCheck(),
        AdvertisedRouteCheck(),
        ReversePathCheck(),
        FrameSizeCheck(),
        ServicePortsCheck(),
        ResolverCheck(),
    ]

    private let host: HostFacts

    /// A doctor for this host.
    ///
    /// - Parameters:
    ///   - home: the state folder, absolute; it need not exist yet.
    ///   - run: the folder of sockets and locks, absolute; it need not exist yet.
    ///   - facts: where to look; tests put a fake tree here.
    public init(home: String, run: String, facts: HostFacts = HostFacts()) {
        var host = facts
        host.home = home
        host.run = run
        self.host = host
    }

    /// Asks every question. Takes well under a second, changes nothing, and needs no rights; without root some answers
    /// are less exact.
    public func examine() -> [Finding] { Doctor.checks.flatMap { $0.examine(host) } }

    /// Asks the questions about networks only.
    public func examineNetworks() -> [Finding] { Doctor.networkChecks.flatMap { $0.examine(host) } }

    /// 1 when there is any problem, else 0.
    public static func exitStatus(_ findings: [Finding]) -> Int32 {
        findings.contains { $0.severity == .problem } ? 1 : 0
    }
}
