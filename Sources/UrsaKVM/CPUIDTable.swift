#if arch(x86_64)
    import CLinux
    import Glibc
    public import UrsaBase

    /// What the CPUID instruction tells a guest: leaves by function and index.
    public struct CPUIDTable: Sendable {
        /// One leaf.
        public struct Leaf: Sendable, Hashable {
            /// Input EAX.
            public var function: UInt32
            /// Input ECX, where `flags` says that it matters.
            public var index: UInt32
            /// `KVM_CPUID_FLAG_…`.
            public var flags: UInt32
            /// Outputs.
            public var eax: UInt32, ebx: UInt32, ecx: UInt32, edx: UInt32
        }

        /// The leaves, at most 256.
        public var leaves: [Leaf]

        /// A table of leaves.
        public init(_ leaves: [Leaf]) { self.leaves = leaves }

        /// The leaf of a function and index, if there.
        public subscript(function: UInt32, index: UInt32 = 0) -> Leaf? {
            leaves.first { $0.function == function && $0.index == index }
        }

        /// Calls `body` with the kernel's form of the table.
        func withRaw<R>(_ body: (UnsafeMutablePointer<clinux_kvm_cpuid>) throws(UrsaError) -> R) throws(UrsaError) -> R
        {
            guard leaves.count <= Int(CLINUX_KVM_CPUID_CAPACITY) else {
                throw UrsaError(.usage, "a CPUID table holds at most \(CLINUX_KVM_CPUID_CAPACITY) leaves")
            }
            let raw = UnsafeMutablePointer<clinux_kvm_cpuid>.allocate(capacity: 1)
            defer { raw.deallocate() }
            memset(raw, 0, MemoryLayout<clinux_kvm_cpuid>.size)
            raw.pointee.count = UInt32(leaves.count)
            withUnsafeMutableBytes(of: &raw.pointee.entries) { bytes in
                let entries = bytes.bindMemory(to: kvm_cpuid_entry2.self)
                for (position, leaf) in leaves.enumerated() {
                    entries[position] = kvm_cpuid_entry2(
                        function: leaf.function, index: leaf.index, flags: leaf.flags, eax: leaf.eax, ebx: leaf.ebx,
                        ecx: leaf.ecx, edx: leaf.edx, padding: (0, 0, 0))
                }
            }
            return try body(raw)
        }
    }

    extension KVM {
        /// What this host's KVM can offer a guest (KVM_GET_SUPPORTED_CPUID), untouched.
        public func supportedCPUID() throws(UrsaError) -> CPUIDTable {
            let raw = UnsafeMutablePointer<clinux_kvm_cpuid>.allocate(capacity: 1)
            defer { raw.deallocate() }
            memset(raw, 0, MemoryLayout<clinux_kvm_cpuid>.size)
            raw.pointee.count = UInt32(CLINUX_KVM_CPUID_CAPACITY)
            try check(clinux_ioctl(fd.raw, CLINUX_KVM_GET_SUPPORTED_CPUID, raw), "KVM_GET_SUPPORTED_CPUID")
            let count = min(Int(raw.pointee.count), Int(CLINUX_KVM_CPUID_CAPACITY))
            return withUnsafeBytes(of: &raw.pointee.entries) { bytes in
                CPUIDTable(
                    bytes.bindMemory(to: kvm_cpuid_entry2.self).prefix(count).map { entry in
                        CPUIDTable.Leaf(
                            function: entry.function, index: entry.index, flags: entry.flags, eax: entry.eax,
                            ebx: entry.ebx, ecx: entry.ecx, edx: entry.edx)
                    })
            }
        }
    }
#endif
