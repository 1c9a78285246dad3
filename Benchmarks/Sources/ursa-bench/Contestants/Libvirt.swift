import Glibc
import UrsaBase

/// Debian's libvirt, run by hand in this corner of the host: scripts/bench has laid private folders over its
/// configuration and state, and the corner's own process 1 reaps what the daemon leaves at once (libvirt polls
/// kill(pid, 0) every 200 ms when it ends a machine, so a slow reaper would be counted against it).
final class Libvirt {
    let pid: Int32
    private let folder: String

    /// Starts the daemon and waits for its first answer.
    init(scratch: String) throws(UrsaError) {
        folder = "\(scratch)/libvirt"
        try File.makeDirectory(folder)
        for path in ["/etc/libvirt/qemu/networks/autostart", "/var/lib/libvirt/dnsmasq", "/run/libvirt"] {
            try File.makeDirectory(path)
        }
        // Rights, cgroups and sandboxes off: the least work the peer can do.
        try File.replace(
            "/etc/libvirt/qemu.conf",
            text: """
                user = "root"
                group = "root"
                dynamic_ownership = 0
                remember_owner = 0
                security_driver = "none"
                cgroup_controllers = []
                namespaces = []
                stdio_handler = "file"

                """)
        try File.replace(
            "/etc/libvirt/libvirtd.conf",
            text: """
                auth_unix_rw = "none"
                auth_unix_ro = "none"
                log_level = 3
                log_outputs = "3:file:\(folder)/libvirtd.log"

                """)
        try Self.makeUser()
        var daemon = Program("libvirtd", [])
        daemon.diesWithParent = true
        pid = try daemon.start().pid
        let deadline = Deadline.after(seconds: 20)
        while !File.exists("/run/libvirt/libvirt-sock") {
            guard !deadline.isPast else {
                throw UrsaError(
                    .timeout, "libvirtd did not start", place: File.peek("\(folder)/libvirtd.log"),
                    remedy: "scripts/install-packages bench")
            }
            pause(milliseconds: 10)
        }
        try virsh("uri")
    }

    /// libvirtd looks up the user of its machines before it reads that another one is to be taken. The package that
    /// makes it also starts services, so it is made here, in the corner's own copy of /etc.
    private static func makeUser() throws(UrsaError) {
        let name = "libvirt-qemu"
        guard getpwnam(name) == nil else { return }
        for (file, line) in [
            ("/etc/passwd", "\(name):x:64055:64055::/nonexistent:/usr/sbin/nologin\n"),
            ("/etc/group", "\(name):x:64055:\n"),
        ] { try File.replace(file, text: File.readText(file) + line, mode: 0o644) }
    }

    deinit {
        kill(pid, SIGTERM)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }

    /// One virsh command.
    @discardableResult
    func virsh(_ arguments: String...) throws(UrsaError) -> String {
        try Program("virsh", ["-q", "-c", "qemu:///system"] + arguments)
            .require("run virsh \(arguments.joined(separator: " "))", seconds: 120)
    }

    /// Many commands in one virsh session, the fastest way it offers.
    func session(_ commands: [String]) throws(UrsaError) {
        let input = Array((commands.joined(separator: "\n") + "\n").utf8)
        let result = try Program("virsh", ["-q", "-c", "qemu:///system"]).run(input: input, seconds: 300)
        guard result.end.isSuccess, !result.errors.contains("error:") else {
            throw UrsaError(.io, "virsh session failed: \(result.errors.trimmed)")
        }
    }

    /// Writes a definition to a file and returns its path.
    func file(_ name: String, _ xml: String) throws(UrsaError) -> String {
        let path = "\(folder)/\(name).xml"
        try File.replace(path, text: xml)
        return path
    }

    /// A small machine: direct kernel boot, emulated, serial port to a file, no disk; a card where a network is named.
    func domain(_ name: String, kernel: String, initrd: String, network: String? = nil) throws(UrsaError) -> String {
        let card = network.map {
            "<interface type='network'><source network='\($0)'/><model type='virtio'/></interface>"
        }
        return try file(
            name,
            """
            <domain type='qemu'><name>\(name)</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
            <os><type arch='x86_64' machine='q35'>hvm</type><kernel>\(kernel)</kernel><initrd>\(initrd)</initrd>
            <cmdline>console=ttyS0 quiet panic=-1</cmdline></os><features><acpi/></features>
            <devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
            <memballoon model='none'/>\(card ?? "")
            <serial type='file'><source path='\(folder)/\(name).serial'/><target port='0'/></serial></devices></domain>

            """)
    }

    /// Defines a NAT network with DHCP, number `index` (1…99), and returns its name.
    func defineNetwork(_ index: Int) throws(UrsaError) -> String {
        let path = try file(
            "net\(index)",
            """
            <network><name>n\(index)</name><forward mode='nat'/><bridge name='vbr\(index)' stp='on' delay='0'/>
            <ip address='10.88.\(index).1' netmask='255.255.255.0'>
            <dhcp><range start='10.88.\(index).2' end='10.88.\(index).254'/></dhcp></ip></network>

            """)
        try virsh("net-define", path)
        return "n\(index)"
    }
}
