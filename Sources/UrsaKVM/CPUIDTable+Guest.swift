#if arch(x86_64)
    import CLinux

    extension CPUIDTable {
        /// The table for one processor of a guest: what KVM offers (`KVM.supportedCPUID`), with those leaves mended that KVM fills from
        /// the host's processor it happened to run on.
        ///
        /// All processors are cores of one socket, one thread each; APIC ids are their numbers.
        ///
        /// - Parameters:
        ///   - processor: its number, which is its APIC id.
        ///   - count: processors of the machine, 1 … 254.
        public func forGuest(processor: UInt32, count: UInt32) -> CPUIDTable {
            var table = self
            // Bits of an APIC id that tell a core (Intel SDM 2A, CPUID, leaf 0xB).
            let bits = count > 1 ? UInt32(32 - (count - 1).leadingZeroBitCount) : 0
            table.leaves.removeAll { $0.function == 0xb || $0.function == 0x1f }
            for index in table.leaves.indices {
                table.leaves[index].mend(processor: processor, count: count, bits: bits)
            }
            if (self[0]?.eax ?? 0) >= 0xb {
                let indexed = UInt32(CLINUX_KVM_CPUID_SIGNIFICANT_INDEX)
                // Level type 1: threads; 2: cores; EBX: logical processors at this level.
                table.leaves.append(
                    Leaf(function: 0xb, index: 0, flags: indexed, eax: 0, ebx: 1, ecx: 0x100, edx: processor))
                table.leaves.append(
                    Leaf(
                        function: 0xb, index: 1, flags: indexed, eax: bits, ebx: count, ecx: 0x201, edx: processor))
                table.leaves.append(
                    Leaf(function: 0xb, index: 2, flags: indexed, eax: 0, ebx: 0, ecx: 2, edx: processor))
            }
            return table
        }
    }

    extension CPUIDTable.Leaf {
        fileprivate mutating func mend(processor: UInt32, count: UInt32, bits: UInt32) {
            switch function {
            case 1:
                // EBX: APIC id, logical processors, CLFLUSH size; ECX bit 31: a hypervisor is there; bit 24: TSC deadline timer, which
                // KVM's local APIC has though it does not report it; EDX bit 28: more than one logical processor.
                ebx = ebx & 0xffff | min(count, 255) << 16 | processor << 24
                ecx |= 1 << 31 | 1 << 24
                edx = count > 1 ? edx | 1 << 28 : edx & ~(1 << 28)
            case 4:
                // Deterministic cache parameters: bits 25…14 are threads that share the cache less 1, bits 31…26 cores of the socket
                // less 1. A cache of level 3 is everybody's, the others are a core's own.
                guard eax & 0x1f != 0 else { break }
                let sharing = (eax >> 5) & 7 >= 3 ? count - 1 : 0
                eax = eax & 0x3fff | min(sharing, 0xfff) << 14 | min(count - 1, 63) << 26
            case 6:
                // No energy or temperature control: KVM has none of its registers.
                (eax, ebx, ecx, edx) = (eax & 1 << 2, 0, 0, 0)
            case 0xa:
                // No performance counters: a guest that finds them half there waits for them in vain.
                (eax, ebx, ecx, edx) = (0, 0, 0, 0)
            case 0x8000_0008:
                // ECX: cores less 1, and bits of the APIC id that tell a core (AMD APM 3, appendix E).
                ecx = count > 1 ? (count - 1) | bits << 12 : 0
            case 0x8000_001d:
                guard eax & 0x1f != 0 else { break }
                let sharing = (eax >> 5) & 7 >= 3 ? count - 1 : 0
                eax = eax & 0x3fff | min(sharing, 0xfff) << 14
            case 0x8000_001e:
                // Extended APIC id; one thread per core; node 0.
                (eax, ebx, ecx) = (processor, processor & 0xff, 0)
            default: break
            }
        }
    }
#endif
