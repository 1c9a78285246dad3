#define _GNU_SOURCE
#include "clinux_ring.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int32_t clinux_ring_open(struct clinux_ring *ring, uint32_t entries) {
    struct io_uring_params params;
    memset(&params, 0, sizeof params);
    memset(ring, 0, sizeof *ring);
    params.flags = IORING_SETUP_CLAMP;
    int fd = (int)syscall(SYS_io_uring_setup, entries, &params);
    if (fd < 0) return -errno;
    // Without NODROP completions could be lost; without SINGLE_MMAP there are three mappings. Both are of Linux 5.5.
    if (!(params.features & IORING_FEAT_NODROP) || !(params.features & IORING_FEAT_SINGLE_MMAP)) {
        close(fd);
        return -ENOSYS;
    }
    uint64_t sq = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
    uint64_t cq = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    ring->rings_size = sq > cq ? sq : cq;
    ring->sqes_size = params.sq_entries * sizeof(struct io_uring_sqe);
    uint8_t *rings = mmap(NULL, ring->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
    if (rings == MAP_FAILED) { int e = errno; close(fd); return -e; }
    void *sqes = mmap(NULL, ring->sqes_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
    if (sqes == MAP_FAILED) { int e = errno; munmap(rings, ring->rings_size); close(fd); return -e; }
    ring->fd = fd;
    // Came with the same release, 5.6, as requests without a list of pieces.
    ring->has_plain = (params.features & IORING_FEAT_RW_CUR_POS) != 0;
    ring->entries = params.sq_entries;
    ring->rings = rings;
    ring->sqes = sqes;
    ring->sq_head = (uint32_t *)(rings + params.sq_off.head);
    ring->sq_tail = (uint32_t *)(rings + params.sq_off.tail);
    ring->sq_flags = (uint32_t *)(rings + params.sq_off.flags);
    ring->sq_mask = *(uint32_t *)(rings + params.sq_off.ring_mask);
    ring->cq_head = (uint32_t *)(rings + params.cq_off.head);
    ring->cq_tail = (uint32_t *)(rings + params.cq_off.tail);
    ring->cq_mask = *(uint32_t *)(rings + params.cq_off.ring_mask);
    ring->cqes = rings + params.cq_off.cqes;
    // Each entry stays at its own place, so the table of indices is written once.
    uint32_t *array = (uint32_t *)(rings + params.sq_off.array);
    for (uint32_t i = 0; i < params.sq_entries; i++) array[i] = i;
    return 0;
}

void clinux_ring_close(struct clinux_ring *ring) {
    if (!ring->rings) return;
    munmap(ring->sqes, ring->sqes_size);
    munmap(ring->rings, ring->rings_size);
    close(ring->fd);
    memset(ring, 0, sizeof *ring);
}

int32_t clinux_ring_push(struct clinux_ring *ring, int32_t operation, int32_t fd, const void *address, uint32_t count,
                         uint64_t offset, uint64_t token) {
    uint32_t tail = *ring->sq_tail;
    if (tail - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE) >= ring->entries) return -EBUSY;
    struct io_uring_sqe *sqe = (struct io_uring_sqe *)ring->sqes + (tail & ring->sq_mask);
    memset(sqe, 0, sizeof *sqe);
    sqe->fd = fd;
    sqe->user_data = token;
    switch (operation) {
    case CLINUX_RING_READV: sqe->opcode = IORING_OP_READV; break;
    case CLINUX_RING_WRITEV: sqe->opcode = IORING_OP_WRITEV; break;
    case CLINUX_RING_DATASYNC: sqe->opcode = IORING_OP_FSYNC; sqe->fsync_flags = IORING_FSYNC_DATASYNC; break;
    case CLINUX_RING_POLL: sqe->opcode = IORING_OP_POLL_ADD; sqe->poll32_events = POLLIN; break;
    default: return -EINVAL;
    }
    if (operation == CLINUX_RING_READV || operation == CLINUX_RING_WRITEV) {
        const struct iovec *pieces = address;
        sqe->off = offset;
        if (count == 1 && ring->has_plain && pieces->iov_len <= 0x7ffff000) {
            // Of one piece the kernel needs no list: that saves it a copy and its checks.
            sqe->opcode = operation == CLINUX_RING_READV ? IORING_OP_READ : IORING_OP_WRITE;
            sqe->addr = (uint64_t)(uintptr_t)pieces->iov_base;
            sqe->len = (uint32_t)pieces->iov_len;
        } else {
            sqe->addr = (uint64_t)(uintptr_t)address;
            sqe->len = count;
        }
    }
    __atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
    ring->pending++;
    return 0;
}

int32_t clinux_ring_enter(struct clinux_ring *ring, uint32_t wait) {
    for (;;) {
        long done = syscall(SYS_io_uring_enter, ring->fd, ring->pending, wait, wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
        if (done >= 0) {
            ring->pending -= (uint32_t)done;
            if (ring->pending == 0 || wait == 0) return 0;
            continue;
        }
        if (errno == EINTR) continue;
        // Completions must be taken first: the caller does that and comes again.
        if (errno == EBUSY || errno == EAGAIN) return 0;
        return -errno;
    }
}

int32_t clinux_ring_pop(struct clinux_ring *ring, uint64_t *token, int32_t *result) {
    uint32_t head = *ring->cq_head;
    if (head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE)) return 0;
    struct io_uring_cqe *cqe = (struct io_uring_cqe *)ring->cqes + (head & ring->cq_mask);
    *token = cqe->user_data;
    *result = cqe->res;
    __atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
    return 1;
}

int32_t clinux_eventfd(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}
