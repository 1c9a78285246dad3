// Packet sockets (packet(7)) for Swift: <linux/if_packet.h> and <sys/socket.h> clash with the Glibc module.
// Same contract as clinux.h: a value >= 0, or -errno.
#ifndef CLINUX_PACKET_H
#define CLINUX_PACKET_H

#include <stdint.h>

// One frame as a packet socket hands it over.
struct clinux_frame {
    uint32_t length;       // of the frame on the wire; may be more than was stored
    uint32_t stored;       // bytes in the caller's buffer
    int64_t seconds;       // when the kernel took it, since 1970
    int64_t nanoseconds;
    uint8_t outgoing;      // 1: sent by this host over the link, 0: came in
    uint8_t has_tag;       // the kernel took a VLAN tag off the frame
    uint16_t tag_protocol; // 0x8100 or 0x88a8
    uint16_t tag;          // its priority and number
};

// A socket (cloexec, nonblocking) in the calling thread's network namespace that sends and receives whole Ethernet frames of
// one link. Without `receive` it takes none in.
int32_t clinux_packet_open(int32_t link, int32_t receive);
// The next frame; -EAGAIN when there is none.
int32_t clinux_packet_receive(int32_t fd, void *buffer, uint32_t capacity, struct clinux_frame *frame);
// Frames seen and frames lost for want of room since the last call.
int32_t clinux_packet_statistics(int32_t fd, uint32_t *seen, uint32_t *lost);
// Sends and receives by one link only (SO_BINDTODEVICE).
int32_t clinux_bind_to_link(int32_t fd, const char *name);

#endif
