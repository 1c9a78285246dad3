import UrsaBase

/// Shorewall with its two-interface firewall: the Internet on eth0, machines behind a bridge, masquerade, two forwarded
/// ports. It compiles its configuration to a shell script and runs that, which hands the rules to iptables-restore.
struct Shorewall {
    private let folder: String

    init(scratch: String) throws(UrsaError) {
        folder = "\(scratch)/shorewall"
        try File.makeDirectory(folder)
        guard var settings = try? File.readText("/etc/shorewall/shorewall.conf") else {
            throw UrsaError(.notFound, "Shorewall is not installed", remedy: "scripts/install-packages bench")
        }
        settings = settings.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            if line.hasPrefix("STARTUP_ENABLED=") { return "STARTUP_ENABLED=Yes" }
            return line.hasPrefix("IP_FORWARDING=") ? "IP_FORWARDING=On" : String(line)
        }.joined(separator: "\n")
        let files = [
            "shorewall.conf": settings,
            "zones": "fw firewall\nnet ipv4\nloc ipv4\n",
            "interfaces": """
            ?FORMAT 2
            net eth0 tcpflags,nosmurfs,routefilter
            loc br0 tcpflags,nosmurfs,routefilter,routeback,bridge

            """,
            "policy": """
            loc net ACCEPT
            loc fw ACCEPT
            fw all ACCEPT
            net all DROP info
            all all REJECT info

            """,
            "snat": "MASQUERADE 192.168.50.0/24 eth0\n",
            "rules": """
            ?SECTION NEW
            Invalid(DROP) net all tcp
            DNS(ACCEPT) loc fw
            SSH(ACCEPT) loc fw
            Ping(ACCEPT) loc fw
            Ping(DROP) net fw
            DNAT net loc:192.168.50.10 tcp 80
            DNAT net loc:192.168.50.11 tcp 2222

            """,
        ]
        for (name, text) in files { try File.replace("\(folder)/\(name)", text: text) }
    }

    /// Compiles and loads.
    func start() throws(UrsaError) {
        _ = try Program("shorewall", ["start", folder]).require("run shorewall start", seconds: 60)
    }

    /// Takes all rules away.
    func clear() throws(UrsaError) {
        _ = try Program("shorewall", ["clear"]).require("run shorewall clear", seconds: 60)
    }
}
