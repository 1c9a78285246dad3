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
enum {
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
#ifdef __x86_64__
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

#endif
