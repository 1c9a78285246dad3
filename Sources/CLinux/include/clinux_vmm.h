// What a machine monitor needs beyond /dev/kvm itself: relaxed loads and stores of words that threads share, and the
// signal that takes a thread out of KVM_RUN. Contract as in clinux.h.
#ifndef CLINUX_VMM_H
#define CLINUX_VMM_H

#include <stdint.h>

// Words of memory that several threads of the monitor read and write without a lock (C11 memory_order_…).
static inline uint64_t clinux_load64_relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void clinux_store64_relaxed(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline uint64_t clinux_load64_acquire(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void clinux_store64_release(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void clinux_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline void clinux_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }

// Adds 1 to an eventfd without waiting. A counter that is full stays as it is: it is signalled already.
void clinux_eventfd_signal(int32_t fd);
// Takes the count of an eventfd away; returns 1 when there was one, else 0.
int32_t clinux_eventfd_take(int32_t fd);
// Whether an eventfd has a count (poll, without taking it).
int32_t clinux_eventfd_is_set(int32_t fd);

// accept4 with close-on-exec and nonblock.
int32_t clinux_accept_nonblocking(int32_t socket);

#endif
