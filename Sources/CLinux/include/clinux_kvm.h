// /dev/kvm for Swift: the request numbers (their _IO macros are not imported) and the few calls that need C.
// Same contract as clinux.h: a value >= 0, or -errno. Documented in the kernel's Documentation/virt/kvm/api.rst.
#ifndef CLINUX_KVM_H
#define CLINUX_KVM_H

#include <linux/kvm.h>
#include <stdint.h>

// Requests of the system descriptor.
static const uint64_t CLINUX_KVM_GET_API_VERSION = KVM_GET_API_VERSION;
static const uint64_t CLINUX_KVM_CREATE_VM = KVM_CREATE_VM;
static const uint64_t CLINUX_KVM_CHECK_EXTENSION = KVM_CHECK_EXTENSION;
static const uint64_t CLINUX_KVM_GET_VCPU_MMAP_SIZE = KVM_GET_VCPU_MMAP_SIZE;
// Requests of a virtual machine.
static const uint64_t CLINUX_KVM_CREATE_VCPU = KVM_CREATE_VCPU;
static const uint64_t CLINUX_KVM_SET_USER_MEMORY_REGION = KVM_SET_USER_MEMORY_REGION;
static const uint64_t CLINUX_KVM_IRQFD = KVM_IRQFD;
static const uint64_t CLINUX_KVM_IOEVENTFD = KVM_IOEVENTFD;
static const uint64_t CLINUX_KVM_IRQ_LINE = KVM_IRQ_LINE;
static const uint64_t CLINUX_KVM_GET_DIRTY_LOG = KVM_GET_DIRTY_LOG;
static const uint64_t CLINUX_KVM_ENABLE_CAP = KVM_ENABLE_CAP;
enum {
    CLINUX_KVM_MEM_READONLY = KVM_MEM_READONLY,
    CLINUX_KVM_MEM_LOG_DIRTY_PAGES = KVM_MEM_LOG_DIRTY_PAGES,
    CLINUX_KVM_IOEVENTFD_DATAMATCH = KVM_IOEVENTFD_FLAG_DATAMATCH,
    CLINUX_KVM_IOEVENTFD_PIO = KVM_IOEVENTFD_FLAG_PIO,
    CLINUX_KVM_IOEVENTFD_DEASSIGN = KVM_IOEVENTFD_FLAG_DEASSIGN,
    CLINUX_KVM_IRQFD_DEASSIGN = KVM_IRQFD_FLAG_DEASSIGN,
    CLINUX_KVM_IRQFD_RESAMPLE = KVM_IRQFD_FLAG_RESAMPLE,
    CLINUX_KVM_IRQ_ROUTING_IRQCHIP = KVM_IRQ_ROUTING_IRQCHIP,
    CLINUX_KVM_IRQ_ROUTING_MSI = KVM_IRQ_ROUTING_MSI,
};
// Requests of a virtual processor.
static const uint64_t CLINUX_KVM_GET_REGS = KVM_GET_REGS;
static const uint64_t CLINUX_KVM_SET_REGS = KVM_SET_REGS;
static const uint64_t CLINUX_KVM_GET_SREGS = KVM_GET_SREGS;
static const uint64_t CLINUX_KVM_SET_SREGS = KVM_SET_SREGS;
static const uint64_t CLINUX_KVM_GET_MP_STATE = KVM_GET_MP_STATE;
static const uint64_t CLINUX_KVM_SET_MP_STATE = KVM_SET_MP_STATE;
#ifdef __x86_64__
static const uint64_t CLINUX_KVM_CREATE_IRQCHIP = KVM_CREATE_IRQCHIP;
static const uint64_t CLINUX_KVM_GET_IRQCHIP = KVM_GET_IRQCHIP;
static const uint64_t CLINUX_KVM_SET_IRQCHIP = KVM_SET_IRQCHIP;
static const uint64_t CLINUX_KVM_CREATE_PIT2 = KVM_CREATE_PIT2;
static const uint64_t CLINUX_KVM_GET_PIT2 = KVM_GET_PIT2;
static const uint64_t CLINUX_KVM_SET_PIT2 = KVM_SET_PIT2;
static const uint64_t CLINUX_KVM_GET_CLOCK = KVM_GET_CLOCK;
static const uint64_t CLINUX_KVM_SET_CLOCK = KVM_SET_CLOCK;
static const uint64_t CLINUX_KVM_GET_TSC_KHZ = KVM_GET_TSC_KHZ;
static const uint64_t CLINUX_KVM_SET_TSC_KHZ = KVM_SET_TSC_KHZ;
static const uint64_t CLINUX_KVM_GET_LAPIC = KVM_GET_LAPIC;
static const uint64_t CLINUX_KVM_SET_LAPIC = KVM_SET_LAPIC;
static const uint64_t CLINUX_KVM_GET_FPU = KVM_GET_FPU;
static const uint64_t CLINUX_KVM_SET_FPU = KVM_SET_FPU;
static const uint64_t CLINUX_KVM_GET_XCRS = KVM_GET_XCRS;
static const uint64_t CLINUX_KVM_SET_XCRS = KVM_SET_XCRS;
static const uint64_t CLINUX_KVM_GET_DEBUGREGS = KVM_GET_DEBUGREGS;
static const uint64_t CLINUX_KVM_SET_DEBUGREGS = KVM_SET_DEBUGREGS;
static const uint64_t CLINUX_KVM_GET_VCPU_EVENTS = KVM_GET_VCPU_EVENTS;
static const uint64_t CLINUX_KVM_SET_VCPU_EVENTS = KVM_SET_VCPU_EVENTS;
static const uint64_t CLINUX_KVM_KVMCLOCK_CTRL = KVM_KVMCLOCK_CTRL;
static const uint64_t CLINUX_KVM_NMI = KVM_NMI;
static const uint64_t CLINUX_KVM_INTERRUPT = KVM_INTERRUPT;
enum {
    CLINUX_KVM_PIT_SPEAKER_DUMMY = KVM_PIT_SPEAKER_DUMMY,
    CLINUX_KVM_CPUID_SIGNIFICANT_INDEX = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
};

// struct kvm_msrs ends in a flexible array too. KVM refuses more than 256 entries (MAX_IO_MSRS).
enum { CLINUX_KVM_MSR_CAPACITY = 256 };
// Both return how many were read or written: KVM stops at the first that it refuses.
int32_t clinux_kvm_get_msrs(int32_t vcpu, struct kvm_msr_entry *entries, uint32_t count);
int32_t clinux_kvm_set_msrs(int32_t vcpu, const struct kvm_msr_entry *entries, uint32_t count);

enum {
    CLINUX_KVM_IRQCHIP_PIC_MASTER = KVM_IRQCHIP_PIC_MASTER,
    CLINUX_KVM_IRQCHIP_PIC_SLAVE = KVM_IRQCHIP_PIC_SLAVE,
    CLINUX_KVM_IRQCHIP_IOAPIC = KVM_IRQCHIP_IOAPIC,
};
static const uint64_t CLINUX_KVM_SET_TSS_ADDR = KVM_SET_TSS_ADDR;
static const uint64_t CLINUX_KVM_SET_IDENTITY_MAP_ADDR = KVM_SET_IDENTITY_MAP_ADDR;
static const uint64_t CLINUX_KVM_GET_SUPPORTED_CPUID = KVM_GET_SUPPORTED_CPUID;
static const uint64_t CLINUX_KVM_SET_CPUID2 = KVM_SET_CPUID2;

// struct kvm_cpuid2 ends in a flexible array, which Swift imports without its elements. 256 entries are more than any
// kernel reports (its own limit, KVM_MAX_CPUID_ENTRIES, is 256).
enum { CLINUX_KVM_CPUID_CAPACITY = 256 };
struct clinux_kvm_cpuid {
    uint32_t count;
    uint32_t padding;
    struct kvm_cpuid_entry2 entries[CLINUX_KVM_CPUID_CAPACITY];
};
#endif

// An ioctl whose argument is a number, not a pointer.
int32_t clinux_kvm_ioctl_value(int32_t fd, uint64_t request, uint64_t value);

// Replaces the whole table of interrupt routes (KVM_SET_GSI_ROUTING).
int32_t clinux_kvm_set_routes(int32_t vm, const struct kvm_irq_routing_entry *routes, uint32_t count);

// KVM_RUN for at most `nanoseconds` (0: without limit). Returns 0 when the guest exited to user space, -EINTR when the
// time was up or a signal came, -EAGAIN as KVM gives it. The limit needs no signal handler and holds even while the
// guest loops: a timer of this thread raises a signal that is blocked everywhere but inside KVM_RUN.
int32_t clinux_kvm_run(int32_t vcpu, int64_t nanoseconds);

// ---- the exits of a processor, without copies ----------------------------------------------------------------------

// KVM_RUN as it is: 0, or -EINTR (a signal, or immediate_exit), -EAGAIN, or another error.
int32_t clinux_kvm_enter(int32_t vcpu);

// Makes the next KVM_RUN, or the one that a signal interrupts, return at once. From any thread.
static inline void clinux_kvm_request_exit(struct kvm_run *run) { __atomic_store_n(&run->immediate_exit, 1, __ATOMIC_SEQ_CST); }
// Takes that back; what was asked for must be looked at afterwards.
static inline void clinux_kvm_clear_exit_request(struct kvm_run *run) { __atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST); }

static inline uint32_t clinux_kvm_exit_reason(const struct kvm_run *run) { return run->exit_reason; }

// KVM_EXIT_IO: `count` accesses of `size` bytes, one after the other in `data`.
struct clinux_port_exit { uint16_t port; uint8_t size; uint8_t is_write; uint32_t count; uint64_t offset; };
static inline struct clinux_port_exit clinux_kvm_port_exit(const struct kvm_run *run) {
    struct clinux_port_exit e = { run->io.port, run->io.size, run->io.direction == KVM_EXIT_IO_OUT, run->io.count,
                                  run->io.data_offset };
    return e;
}
// KVM_EXIT_MMIO.
struct clinux_memory_exit { uint64_t address; uint32_t size; uint8_t is_write; uint8_t *data; };
static inline struct clinux_memory_exit clinux_kvm_memory_exit(struct kvm_run *run) {
    struct clinux_memory_exit e = { run->mmio.phys_addr, run->mmio.len, run->mmio.is_write, run->mmio.data };
    return e;
}
// KVM_EXIT_SYSTEM_EVENT.
static inline uint32_t clinux_kvm_system_event(const struct kvm_run *run) { return run->system_event.type; }
static inline uint32_t clinux_kvm_internal_error(const struct kvm_run *run) { return run->internal.suberror; }
static inline uint64_t clinux_kvm_entry_failure(const struct kvm_run *run) { return run->fail_entry.hardware_entry_failure_reason; }

// The signal that takes a thread out of KVM_RUN: its handler does nothing. Once for the process, before the first kick.
int32_t clinux_kvm_install_kick(void);
// Sends it to a thread of this process (tgkill).
int32_t clinux_kvm_kick(int32_t tid);

#endif
