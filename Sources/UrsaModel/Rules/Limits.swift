public import UrsaBase

/// The bounds of everything a spec may say; the reader, the command line, the schema and the reference share them.
public enum Limits {
    /// Virtual processors of a machine. 255 is where x86 needs an interrupt remapper, and QEMU's own defaults stop
    /// near there; nobody has asked for more.
    public static let cpus = 1...256
    /// Memory of a machine: Debian's kernel with its initramfs does not boot in less than 64 MiB.
    public static let memory = ByteCount.mebibytes(64)...ByteCount.gibibytes(16 << 10)
    /// Disk of a machine.
    public static let disk = ByteCount.mebibytes(1)...ByteCount.gibibytes(64 << 10)
    /// Payload of a frame: IPv6 needs 1280 (RFC 8200 section 5), the kernel's bridges and taps end at 65535.
    public static let mtu = 1280...65535
    /// Prefix length of an IPv4 subnet: /29 is the smallest with room for gateway, host and a machine.
    public static let subnetPrefix = 8...29
    /// Seconds from the power button to the kill.
    public static let stopTimeout = 1...3600
    /// Restarts in a row of `on-failure:N`.
    public static let restarts = 1...1_000_000
    /// Characters of a network's name; `ursa-NAME` is also a file name.
    public static let networkNameLength = 1...32
    /// Characters of a machine's name: one label of a DNS name (RFC 1035 section 2.3.4).
    public static let machineNameLength = 1...63
    /// Networks of a spec.
    public static let networks = 512
    /// Machines of a spec.
    public static let machines = 4096
    /// Network cards of a machine: what fits on one PCI bus beside the other devices.
    public static let cards = 16
    /// Uplinks of a spec. Marks and tables have room for 255.
    public static let uplinks = 64
    /// Share of an uplink.
    public static let weight = 0...255
    /// Seconds between the questions of an uplink's check.
    public static let checkInterval = 1...3600
    /// Answers in a row that change what an uplink's check says.
    public static let checkThreshold = 1...100
    /// Zones of a spec: every ordered pair of them is judged.
    public static let zones = 128
    /// Policies of a spec.
    public static let policies = 1024
    /// Rules of a spec.
    public static let rules = 4096
    /// Ports and ranges of a rule.
    public static let portsOfRule = 256
    /// Address ranges of a rule, a forward or a zone.
    public static let prefixesOfRule = 1024
    /// Forwards of a spec.
    public static let forwards = 4096
    /// Admins of a spec.
    public static let admins = 64
    /// What a card may send or receive at most: 8 kbit/s to 100 Gbit/s.
    public static let rate = BitRate(bitsPerSecond: 8000)...BitRate(bitsPerSecond: 100_000_000_000)
    /// Published ports of a machine.
    public static let publishedPorts = 256
    /// Public keys of a machine.
    public static let sshKeys = 64
    /// Bytes of one public key; RSA with 16384 bits takes 2,800.
    public static let sshKeyLength = 8192
    /// Bytes of kernel arguments: x86's COMMAND_LINE_SIZE is 2048 with the terminating NUL
    /// (arch/x86/include/asm/setup.h), of which Ursa's own arguments need some.
    public static let kernelArgumentsLength = 1536
    /// Bytes of a path of an image, terminating NUL excluded (PATH_MAX, limits.h).
    public static let pathLength = 4095
    /// Characters of an image's name.
    public static let imageNameLength = 128
    /// Names a machine can't have, because programs and Ursa's own names give them another meaning.
    public static let reservedMachineNames: Set<String> = [
        "localhost", "localdomain", "host", "gateway", "broadcasthost", "ip6-localhost", "ip6-loopback",
        "ip6-localnet", "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts",
    ]
}
