// CLinux: atomic access to memory that somebody else writes to at the same time: a guest's virtqueues (virtio 1.2
// section 2.7). Swift's own atomics own their storage, so they can't lie in a guest's memory.
//
// Every pointer must be aligned for its type and stay mapped. Little-endian hosts only, as the rings are.
#ifndef CLINUX_RINGMEMORY_H
#define CLINUX_RINGMEMORY_H

#include <stdint.h>

// One descriptor (virtio 1.2 section 2.7.5), copied so that the guest can't change it between check and use.
struct clinux_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

static inline uint16_t clinux_load16(const void *pointer) {
    return __atomic_load_n((const uint16_t *)pointer, __ATOMIC_RELAXED);
}
static inline uint16_t clinux_load16_acquire(const void *pointer) {
    return __atomic_load_n((const uint16_t *)pointer, __ATOMIC_ACQUIRE);
}
static inline uint32_t clinux_load32(const void *pointer) {
    return __atomic_load_n((const uint32_t *)pointer, __ATOMIC_RELAXED);
}
static inline void clinux_store16(void *pointer, uint16_t value) {
    __atomic_store_n((uint16_t *)pointer, value, __ATOMIC_RELAXED);
}
static inline void clinux_store16_release(void *pointer, uint16_t value) {
    __atomic_store_n((uint16_t *)pointer, value, __ATOMIC_RELEASE);
}
static inline void clinux_store32(void *pointer, uint32_t value) {
    __atomic_store_n((uint32_t *)pointer, value, __ATOMIC_RELAXED);
}
// Tells the processor that this is a loop that waits for memory to change.
static inline void clinux_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}
static inline void clinux_full_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// Reads each word exactly once; the pointer is aligned to 8 bytes.
static inline struct clinux_descriptor clinux_load_descriptor(const void *pointer) {
    uint64_t rest = __atomic_load_n((const uint64_t *)pointer + 1, __ATOMIC_RELAXED);
    struct clinux_descriptor result = {
        .address = __atomic_load_n((const uint64_t *)pointer, __ATOMIC_RELAXED),
        .length = (uint32_t)rest,
        .flags = (uint16_t)(rest >> 32),
        .next = (uint16_t)(rest >> 48),
    };
    return result;
}

#endif
