#define _GNU_SOURCE
#include "clinux_kvm.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#ifdef __x86_64__
_Static_assert(sizeof(struct clinux_kvm_cpuid)
                   == sizeof(struct kvm_cpuid2) + CLINUX_KVM_CPUID_CAPACITY * sizeof(struct kvm_cpuid_entry2),
               "the header repeats the kernel's layout");
#endif

int32_t clinux_kvm_ioctl_value(int32_t fd, uint64_t request, uint64_t value) {
    int r = ioctl(fd, request, (unsigned long)value);
    return r < 0 ? -errno : r;
}

int32_t clinux_kvm_set_routes(int32_t vm, const struct kvm_irq_routing_entry *routes, uint32_t count) {
    struct kvm_irq_routing *table = calloc(1, sizeof *table + count * sizeof *routes);
    if (!table) return -ENOMEM;
    table->nr = count;
    memcpy(table->entries, routes, count * sizeof *routes);
    int32_t result = ioctl(vm, KVM_SET_GSI_ROUTING, table) < 0 ? -errno : 0;
    free(table);
    return result;
}

// The kernel's sigset is 64 bits; glibc's sigset_t is larger but starts with them.
enum { KERNEL_SIGSET_BYTES = 8 };

static int set_run_mask(int vcpu, const sigset_t *mask) {
    if (!mask) return ioctl(vcpu, KVM_SET_SIGNAL_MASK, NULL);
    // struct kvm_signal_mask: a length, then so many bytes.
    struct {
        uint32_t length;
        uint8_t bits[KERNEL_SIGSET_BYTES];
    } request = { .length = KERNEL_SIGSET_BYTES };
    memcpy(request.bits, mask, KERNEL_SIGSET_BYTES);
    return ioctl(vcpu, KVM_SET_SIGNAL_MASK, &request);
}

int32_t clinux_kvm_run(int32_t vcpu, int64_t nanoseconds) {
    if (nanoseconds <= 0) return ioctl(vcpu, KVM_RUN, 0) < 0 ? -errno : 0;

    int alarm = SIGRTMAX - 1;
    sigset_t only, old, inside;
    sigemptyset(&only);
    sigaddset(&only, alarm);
    int error = pthread_sigmask(SIG_BLOCK, &only, &old);
    if (error) return -error;
    inside = old;
    sigdelset(&inside, alarm);

    int32_t result;
    timer_t timer;
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = alarm;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0) {
        result = -errno;
    } else {
        struct itimerspec limit = { .it_value = { nanoseconds / 1000000000, nanoseconds % 1000000000 } };
        if (set_run_mask(vcpu, &inside) < 0 || timer_settime(timer, 0, &limit, NULL) < 0)
            result = -errno;
        else
            result = ioctl(vcpu, KVM_RUN, 0) < 0 ? -errno : 0;
        timer_delete(timer);
        set_run_mask(vcpu, NULL);
    }
    // The signal may be pending still: take it away before the mask opens again, its default action would kill us.
    struct timespec none = { 0, 0 };
    while (sigtimedwait(&only, NULL, &none) < 0 && errno == EINTR) {}
    if (!sigismember(&old, alarm)) pthread_sigmask(SIG_SETMASK, &old, NULL);
    return result;
}

int32_t clinux_kvm_enter(int32_t vcpu) { return ioctl(vcpu, KVM_RUN, 0) < 0 ? -errno : 0; }

static void take_kick(int signal) { (void)signal; }

enum { KICK_OFFSET = 2 };   // SIGRTMIN and SIGRTMIN + 1 are left to others

int32_t clinux_kvm_install_kick(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = take_kick;   // no SA_RESTART: KVM_RUN must return
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGRTMIN + KICK_OFFSET, &action, NULL) < 0) return -errno;
    sigset_t kick;
    sigemptyset(&kick);
    sigaddset(&kick, SIGRTMIN + KICK_OFFSET);
    return -pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
}

int32_t clinux_kvm_kick(int32_t tid) {
    return syscall(SYS_tgkill, getpid(), tid, SIGRTMIN + KICK_OFFSET) < 0 ? -errno : 0;
}

#ifdef __x86_64__
// struct kvm_msrs with its elements.
struct msrs {
    uint32_t count, padding;
    struct kvm_msr_entry entries[CLINUX_KVM_MSR_CAPACITY];
};
_Static_assert(sizeof(struct msrs) == sizeof(struct kvm_msrs) + CLINUX_KVM_MSR_CAPACITY * sizeof(struct kvm_msr_entry),
               "the struct repeats the kernel's layout");

int32_t clinux_kvm_get_msrs(int32_t vcpu, struct kvm_msr_entry *entries, uint32_t count) {
    struct msrs request;
    if (count > CLINUX_KVM_MSR_CAPACITY) return -E2BIG;
    request.count = count;
    request.padding = 0;
    memcpy(request.entries, entries, count * sizeof *entries);
    int done = ioctl(vcpu, KVM_GET_MSRS, &request);
    if (done < 0) return -errno;
    memcpy(entries, request.entries, (uint32_t)done * sizeof *entries);
    return done;
}

int32_t clinux_kvm_set_msrs(int32_t vcpu, const struct kvm_msr_entry *entries, uint32_t count) {
    struct msrs request;
    if (count > CLINUX_KVM_MSR_CAPACITY) return -E2BIG;
    request.count = count;
    request.padding = 0;
    memcpy(request.entries, entries, count * sizeof *entries);
    int done = ioctl(vcpu, KVM_SET_MSRS, &request);
    return done < 0 ? -errno : done;
}
#endif
