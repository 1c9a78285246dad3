/// What the processor offers for virtual machines.
struct Processor: Sendable, Hashable {
    /// Hardware virtualization.
    enum Virtualization: String, Sendable, Hashable {
        /// Intel's VT-x, flag vmx.
        case intel = "VT-x"
        /// AMD-V, flag svm.
        case amd = "AMD-V"

        /// The kernel module that drives it.
        var module: String { self == .intel ? "kvm_intel" : "kvm_amd" }
    }
    /// What it has, nil when the flags show none.
    var virtualization: Virtualization?
    /// Whether this host is a virtual machine itself.
    var isVirtual: Bool
    /// Vendor as CPUID names it.
    var vendor: String
}

extension HostFacts {
    /// The first processor of /proc/cpuinfo.
    var processor: Processor {
        var processor = Processor(virtualization: nil, isVirtual: false, vendor: "")
        for line in lines("/proc/cpuinfo") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let words = line[line.index(after: colon)...].split(separator: " ")
            if line.hasPrefix("vendor_id") { processor.vendor = words.first.map(String.init) ?? "" }
            guard line.hasPrefix("flags") else { continue }
            processor.virtualization = words.contains("vmx") ? .intel : words.contains("svm") ? .amd : nil
            processor.isVirtual = words.contains("hypervisor")
            return processor
        }
        return processor
    }
}
