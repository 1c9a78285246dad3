// CLinux: io_uring by its system calls. Three calls and two mappings are all that is needed, so no library is.
// Contract as in clinux.h. One thread at a time may use a ring.
#ifndef CLINUX_RING_H
#define CLINUX_RING_H

#include <stdint.h>

struct clinux_ring {
    int32_t fd;
    uint32_t entries;
    // Shared with the kernel.
    uint32_t *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail;
    uint32_t sq_mask, cq_mask;
    void *sqes, *cqes;
    void *rings;
    uint64_t rings_size, sqes_size;
    int32_t has_plain;           // requests of one piece need no list
    uint32_t pending;            // pushed, not yet handed to the kernel
};

enum { CLINUX_RING_READV = 1, CLINUX_RING_WRITEV = 2, CLINUX_RING_DATASYNC = 3, CLINUX_RING_POLL = 4 };

// Fails with -ENOSYS or -EPERM where the kernel or a sandbox doesn't let it. The descriptor is close-on-exec.
int32_t clinux_ring_open(struct clinux_ring *ring, uint32_t entries);
void clinux_ring_close(struct clinux_ring *ring);
// Adds a request: for READV and WRITEV `address` is an array of `count` struct iovec, which like the memory it names
// must stay until the request is complete. POLL waits until `fd` can be read. Returns -EBUSY when the ring is full.
int32_t clinux_ring_push(struct clinux_ring *ring, int32_t operation, int32_t fd, const void *address, uint32_t count,
                         uint64_t offset, uint64_t token);
// Hands what was pushed to the kernel, and waits until at least `wait` requests are complete.
int32_t clinux_ring_enter(struct clinux_ring *ring, uint32_t wait);
// Takes one completion: 1 and its token and result (bytes or -errno), or 0 when there is none.
int32_t clinux_ring_pop(struct clinux_ring *ring, uint64_t *token, int32_t *result);
// Whether there is one; a look at memory.
static inline int32_t clinux_ring_has_completions(const struct clinux_ring *ring) {
    return *ring->cq_head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE);
}

int32_t clinux_eventfd(void);

#endif
