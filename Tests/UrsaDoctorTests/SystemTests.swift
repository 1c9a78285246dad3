import Testing
import UrsaBase

@testable import UrsaDoctor

@Suite("Doctor: rights, programs, room, limits")
struct SystemTests {
    @Test func rightsAreTold() throws {
        #expect(try FakeHost().single(PrivilegeCheck()).severity == .ok)
        let user = try FakeHost(uid: 1000, ["/proc/sys/net/ipv4/ip_unprivileged_port_start": "80"]).single(
            PrivilegeCheck())
        #expect(user.severity == .note && user.message.contains("ports from 80 up"))
        let container = try FakeHost(["/proc/self/status": "Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n"])
        #expect(try container.single(PrivilegeCheck()).message.contains("without CAP_NET_ADMIN"))
    }

    @Test func missingProgramsNameTheirPackage() throws {
        let host = try FakeHost()
        try host.install("apt-get")
        let findings = host.examine(ProgramsCheck())
        #expect(findings.count == 10)
        #expect(findings[0].severity == .problem && findings[0].remedy == "apt-get install -y qemu-system-x86")
        #expect(findings.contains { $0.severity == .problem && $0.remedy == "apt-get install -y dnsmasq-base" })
        #expect(findings.contains { $0.severity == .warning && $0.remedy == "apt-get install -y mmdebstrap" })
    }

    @Test func hostWithoutAptGetsNoAptCommand() throws {
        #expect(try FakeHost().examine(ProgramsCheck()).allSatisfy { $0.remedy == nil })
    }

    @Test func oldOrBrokenQEMUIsAProblem() throws {
        let host = try FakeHost()
        try host.install("qemu-system-x86_64", script: "echo QEMU emulator version 6.2.0 'Copyright'")
        #expect(host.examine(ProgramsCheck())[0].message == "QEMU 6.2 is older than 7.2")
        try host.install("qemu-system-x86_64", script: "echo 'libfoo.so: not found' >&2; exit 127")
        #expect(host.examine(ProgramsCheck())[0].message.contains("libfoo.so: not found"))
        try host.install("qemu-system-x86_64", script: "echo QEMU emulator version 10.0.3")
        #expect(host.examine(ProgramsCheck()).last?.message == "QEMU 10.0")
    }

    @Test(arguments: ["", "version", "QEMU emulator version x.y", "version 7", "version 99999999999999999999.1"])
    func versionsThatAreNoneAreRefused(_ text: String) { #expect(ProgramsCheck.version(text) == nil) }

    @Test func roomOnDiskIsJudged() throws {
        let host = try FakeHost()
        try File.makeDirectory(host.facts.home)
        for (bytes, severity) in [(3 << 30, .ok), (1 << 30, .warning), (100 << 20, .problem)]
            as [(UInt64, Finding.Severity)]
        {
            host.space = .init(bytes: bytes)
            let finding = try host.single(DiskSpaceCheck())
            #expect(finding.severity == severity)
            #expect((finding.remedy != nil) == (severity != .ok))
        }
        host.space = .init(bytes: 3 << 30, files: 12)
        #expect(host.examine(DiskSpaceCheck()).contains { $0.severity == .problem && $0.message.contains("inodes") })
    }

    @Test func roomIsMeasuredAtTheNearestParent() throws {
        let host = try FakeHost()
        #expect(DiskSpaceCheck.existing(host.root + "/not/yet/there") == host.root)
        #expect(HostFacts.measuredSpace(host.root) != nil)
        #expect(HostFacts.measuredSpace(host.root + "/not") == nil)
    }

    @Test func memoryIsJudged() throws {
        let host = try FakeHost(["/proc/meminfo": "MemAvailable:  4194304 kB\nHugePages_Total: 8\nHugePages_Free: 3\n"])
        let rich = try host.single(MemoryCheck())
        #expect(rich.severity == .ok && rich.message == "4.0 GiB available, 8 huge pages set aside (3 free)")
        try host.write("/proc/meminfo", "MemAvailable: 100000 kB\n")
        #expect(try host.single(MemoryCheck()).severity == .warning)
        try host.write("/proc/meminfo", "MemAvailable: 99999999999999999 kB\n")
        #expect(try host.single(MemoryCheck()).severity == .note)
    }

    @Test func mergingThatIsOffComesWithItsSwitch() throws {
        let host = try FakeHost(uid: 1000, ["/sys/kernel/mm/ksm/run": "0\n"])
        #expect(try host.single(MemoryMergingCheck()).remedy == "sudo sh -c 'echo 1 > /sys/kernel/mm/ksm/run'")
        try host.write("/sys/kernel/mm/ksm/run", "1\n")
        #expect(try host.single(MemoryMergingCheck()).severity == .ok)
    }

    @Test func controlGroupVersionsAreTold() throws {
        #expect(try FakeHost().single(ControlGroupsCheck()).message.hasPrefix("not mounted"))
        let old = try FakeHost(["/sys/fs/cgroup/memory/tasks": "", "/sys/fs/cgroup/unified/cgroup.controllers": ""])
        #expect(try old.single(ControlGroupsCheck()).message.hasPrefix("hybrid"))
        let new = try FakeHost(["/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n"])
        #expect(try new.single(ControlGroupsCheck()).severity == .ok)
        try new.write("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
        #expect(try new.single(ControlGroupsCheck()).message == "version 2 without io, pids: such limits can't be set")
    }

    @Test func limitsAreRead() throws {
        let host = try FakeHost([
            "/proc/self/limits": "Max open files            1024                 1024                 files     \n"
        ])
        #expect(try host.single(LimitsCheck()).severity == .warning)
        try host.write(
            "/proc/self/limits", "Max open files            1024                 unlimited            files     \n")
        #expect(try host.single(LimitsCheck()).message == "any number of open files")
    }

    @Test func slowClockComesWithAFasterOne() throws {
        let folder = "/sys/devices/system/clocksource/clocksource0"
        let host = try FakeHost([
            folder + "/current_clocksource": "hpet", folder + "/available_clocksource": "tsc hpet",
        ])
        let finding = try host.single(ClockCheck())
        #expect(finding.severity == .warning && finding.remedy?.contains("echo tsc >") == true)
        try host.write(folder + "/current_clocksource", "kvm-clock")
        #expect(try host.single(ClockCheck()).severity == .ok)
    }

    @Test func forbiddenUserNamespacesNameTheSwitch() throws {
        let host = try FakeHost(["/proc/sys/kernel/unprivileged_userns_clone": "0"])
        #expect(try host.single(UserNamespacesCheck()).remedy == "sysctl -w kernel.unprivileged_userns_clone=1")
        let user = try FakeHost(uid: 1000)
        #expect(try user.single(UserNamespacesCheck()).message.contains("/etc/subuid"))
        try user.write("/etc/subuid", "ada:100000:65536\n")
        #expect(try user.single(UserNamespacesCheck()).severity == .ok)
    }

    @Test func securityModulesAreTold() throws {
        #expect(try FakeHost().single(SecurityModuleCheck()).severity == .ok)
        let host = try FakeHost([
            "/sys/module/apparmor/parameters/enabled": "Y", "/etc/apparmor.d/usr.sbin.dnsmasq": "",
        ])
        #expect(try host.single(SecurityModuleCheck()).remedy == "aa-complain /usr/sbin/dnsmasq")
        #expect(try FakeHost(["/sys/fs/selinux/enforce": "1"]).single(SecurityModuleCheck()).severity == .note)
    }
}
