// CLinux: what a machine's virtual devices need of the kernel. Same contract as clinux.h: a value >= 0, or -errno.
#ifndef CLINUX_DEVICE_H
#define CLINUX_DEVICE_H

#include <stdint.h>
#include <linux/vhost.h>

// Random bytes of the kernel (getrandom(2)); how many came.
int64_t clinux_random(void *buffer, uint64_t count);

// ---- taps (drivers/net/tun.c, <linux/if_tun.h>) --------------------------------------------------------------------

// What TUNSETOFFLOAD takes: frames that the reader of the tap finishes itself.
enum {
    CLINUX_TAP_CHECKSUM = 0x01,
    CLINUX_TAP_TSO4 = 0x02,
    CLINUX_TAP_TSO6 = 0x04,
    CLINUX_TAP_ECN = 0x08,
    CLINUX_TAP_UFO = 0x10,
    CLINUX_TAP_USO4 = 0x20,
    CLINUX_TAP_USO6 = 0x40,
};
// 1 when each frame carries a virtio_net_hdr, 0 when not.
int32_t clinux_tap_has_header(int32_t fd);
// Bytes of that header: 10, or 12 with the count of buffers that virtio 1 always has.
int32_t clinux_tap_set_header_size(int32_t fd, int32_t size);
int32_t clinux_tap_set_offloads(int32_t fd, uint32_t offloads);
// Lets a queue of a tap with several queues take part, or not.
int32_t clinux_tap_set_queue(int32_t fd, int32_t attach);
// Opens one queue of a tap in the network namespace of the calling thread, nonblocking; all of one interface are opened
// with the same `several`. `name` is at most 15 bytes. With vnet_hdr each frame carries a virtio_net_hdr, which lets the
// guest use checksum and segmentation offload.
int32_t clinux_tap_open_queue(const char *name, int32_t vnet_hdr, int32_t several);

// ---- vhost (Documentation of drivers/vhost, <linux/vhost.h>) -------------------------------------------------------

static const uint64_t CLINUX_VHOST_GET_FEATURES = VHOST_GET_FEATURES;
static const uint64_t CLINUX_VHOST_SET_FEATURES = VHOST_SET_FEATURES;
static const uint64_t CLINUX_VHOST_SET_OWNER = VHOST_SET_OWNER;
static const uint64_t CLINUX_VHOST_SET_MEM_TABLE = VHOST_SET_MEM_TABLE;
static const uint64_t CLINUX_VHOST_SET_VRING_NUM = VHOST_SET_VRING_NUM;
static const uint64_t CLINUX_VHOST_SET_VRING_BASE = VHOST_SET_VRING_BASE;
static const uint64_t CLINUX_VHOST_SET_VRING_ADDR = VHOST_SET_VRING_ADDR;
static const uint64_t CLINUX_VHOST_SET_VRING_KICK = VHOST_SET_VRING_KICK;
static const uint64_t CLINUX_VHOST_SET_VRING_CALL = VHOST_SET_VRING_CALL;
static const uint64_t CLINUX_VHOST_NET_SET_BACKEND = VHOST_NET_SET_BACKEND;

// struct vhost_memory ends in a flexible array, which Swift imports without its elements.
struct clinux_vhost_memory {
    uint32_t count;
    uint32_t padding;
    struct vhost_memory_region regions[8];
};

// ---- sockets -------------------------------------------------------------------------------------------------------

// accept4(2), cloexec and nonblocking.
int32_t clinux_accept(int32_t listener);
// A connection (nonblocking, cloexec) to the stream socket `name` in the folder that a descriptor names. `name` is one
// component; the folder's own path and length don't matter.
int32_t clinux_connect_in(int32_t folder, const char *name);
// readv(2) and writev(2) that say -errno; writing to a socket that is closed never raises SIGPIPE.
struct iovec;
int64_t clinux_readv(int32_t fd, const struct iovec *pieces, int32_t count);
int64_t clinux_writev(int32_t fd, const struct iovec *pieces, int32_t count);
// sendmsg(2) with MSG_NOSIGNAL | MSG_DONTWAIT.
int64_t clinux_send_pieces(int32_t socket, const struct iovec *pieces, int32_t count);
// recvmsg(2) with MSG_DONTWAIT | MSG_TRUNC: the true length of a packet, which may be more than the pieces hold.
int64_t clinux_receive_pieces(int32_t socket, const struct iovec *pieces, int32_t count);
// Two connected sockets that keep messages apart (SOCK_SEQPACKET), cloexec.
int32_t clinux_message_pair(int32_t fds[2]);
// Sends one message, with a descriptor unless that is -1 (SCM_RIGHTS). Without `wait` it says -EAGAIN when there is no
// room. Never raises SIGPIPE.
int32_t clinux_send_message(int32_t socket, const void *bytes, uint32_t length, int32_t fd, int32_t wait);
// Receives one message and its descriptor (cloexec; -1 when it has none; of several the first, the others are closed).
// Returns its bytes, 0 at the end of the stream.
int32_t clinux_receive_message(int32_t socket, void *bytes, uint32_t length, int32_t *fd, int32_t wait);

#endif
