import Testing
import UrsaKVM

@testable import UrsaDoctor

@Suite("Doctor: processor, /dev/kvm, modules")
struct VirtualizationTests {
    private let intel = "vendor_id\t: GenuineIntel\nflags\t\t: fpu vmx sse\n\nflags\t\t: fpu vmx sse\n"

    @Test func processorFlagsAreNamed() throws {
        #expect(try FakeHost(["/proc/cpuinfo": intel]).single(ProcessorCheck()).message == "VT-x")
        let amd = try FakeHost(["/proc/cpuinfo": "flags : svm hypervisor"]).single(ProcessorCheck())
        #expect(amd.severity == .ok && amd.message.hasPrefix("AMD-V, nested"))
    }

    @Test func processorWithoutFlagsTellsFirmwareFromNesting() throws {
        let firmware = try FakeHost([
            "/proc/cpuinfo": "vendor_id : AuthenticAMD\nflags : fpu", "/sys/firmware/efi/x": "",
        ])
        try firmware.install("systemctl")
        let finding = try firmware.single(ProcessorCheck())
        #expect(finding.severity == .warning && finding.message.contains("SVM mode"))
        #expect(finding.remedy == "systemctl reboot --firmware-setup")
        let nested = try FakeHost(["/proc/cpuinfo": "flags : hypervisor", "/sys/class/dmi/id/sys_vendor": "QEMU\n"])
        let other = try nested.single(ProcessorCheck())
        #expect(other.message.contains("virtual machine (QEMU)") && other.remedy == nil)
    }

    @Test func missingDeviceNamesTheModuleToLoad() throws {
        let host = try FakeHost([
            "/proc/cpuinfo": intel, "/proc/modules": "",
            "/lib/modules/6.1.0-18-amd64/modules.dep":
                "kernel/arch/x86/kvm/kvm-intel.ko.xz: kernel/arch/x86/kvm/kvm.ko.xz\n",
        ])
        host.verdict = .missing
        let finding = try host.single(KVMDeviceCheck())
        #expect(finding.severity == .problem && finding.remedy == "modprobe kvm_intel")
        try host.write("/proc/modules", "kvm_intel 1 0 - Live 0x0\n")
        #expect(try host.single(KVMDeviceCheck()).remedy == "mknod -m 660 /dev/kvm c 10 232")
        try host.write("/proc/cpuinfo", "flags : fpu\n")
        #expect(try host.single(KVMDeviceCheck()).severity == .warning)
    }

    @Test func deviceWithoutRightsNamesTheGroup() throws {
        let host = try FakeHost(uid: 1000, ["/etc/group": "kvm:x:106:\n"])
        host.verdict = .noRights(mode: 0o660, group: "kvm")
        let finding = try host.single(KVMDeviceCheck())
        #expect(finding.severity == .problem && finding.remedy == "sudo usermod -aG kvm ada")
        try host.write("/etc/group", "kvm:x:106:bob,ada\n")
        #expect(try host.single(KVMDeviceCheck()).remedy == "newgrp kvm")
        host.verdict = .noRights(mode: 0o600, group: "root")
        #expect(try host.single(KVMDeviceCheck()).remedy == "sudo setfacl -m u:ada:rw /dev/kvm")
    }

    @Test func verdictsOfTheProbeBecomeWords() throws {
        let host = try FakeHost()
        #expect(try host.single(KVMDeviceCheck()).severity == .ok)
        host.verdict = .slow(millionsPerSecond: 4.2)
        let slow = try host.single(KVMDeviceCheck())
        #expect(slow.severity == .warning && slow.message.contains("4 million"))
        host.verdict = .unusable(reason: "KVM can't run popcnt")
        #expect(try host.single(KVMDeviceCheck()).message.hasPrefix("KVM can't run popcnt: machines are emulated"))
    }

    @Test func modulesAreFoundLoadedBuiltInOrOnDisk() throws {
        let host = try FakeHost([
            "/proc/modules": "veth 36864 0 - Live 0x0\n", "/sys/module/bridge/parameters": "",
            "/proc/misc": "200 tun\n",
            "/lib/modules/6.1.0-18-amd64/modules.builtin": "kernel/net/netfilter/nf-tables.ko\n",
            "/lib/modules/6.1.0-18-amd64/modules.dep": "kernel/drivers/vhost/vhost_net.ko: \n",
        ])
        let names = ["veth", "bridge", "tun", "nf_tables", "vhost_net", "kvm_amd"]
        #expect(names.map(host.facts.module) == [.loaded, .builtIn, .builtIn, .builtIn, .available, .absent])
        let finding = try host.single(KernelModulesCheck())
        #expect(finding.severity == .ok && finding.message.contains("vhost_net (loaded when needed)"))
        try host.write("/proc/modules", "")
        #expect(
            host.examine(KernelModulesCheck()).contains {
                $0.severity == .problem && $0.message.contains("no module veth")
            })
    }

    @Test func upgradedKernelAsksForARestart() throws {
        let finding = try FakeHost(["/proc/modules": ""]).single(KernelModulesCheck())
        #expect(finding.severity == .warning && finding.remedy == "systemctl reboot")
    }

    @Test func kernelWithoutModuleListIsNotBlamed() throws {
        let finding = try FakeHost().single(KernelModulesCheck())
        #expect(finding.severity == .note && finding.message.contains("veth"))
    }

    @Test func missingDevicesNameTheirModule() throws {
        let host = try FakeHost([
            "/proc/modules": "", "/lib/modules/6.1.0-18-amd64/modules.dep": "a/tun.ko:\na/vhost_net.ko:\n",
        ])
        #expect(try host.single(TunDeviceCheck()).remedy == "modprobe tun")
        #expect(try host.single(VhostCheck()).remedy == "modprobe vhost_net")
        try host.write("/dev/net/tun", "")
        try host.write("/dev/vhost-net", "")
        #expect(try host.single(TunDeviceCheck()).severity == .ok)
        #expect(try host.single(VhostCheck()).severity == .ok)
    }
}
