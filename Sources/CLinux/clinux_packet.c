#define _GNU_SOURCE
#include "clinux_packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int32_t clinux_packet_open(int32_t link, int32_t receive) {
    // Protocol 0 until it is bound: else frames of all links would come in between.
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    int on = 1, size = 4 << 20;
    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    struct sockaddr_ll name;
    memset(&name, 0, sizeof name);
    name.sll_family = AF_PACKET;
    name.sll_protocol = receive ? htons(ETH_P_ALL) : 0;
    name.sll_ifindex = link;
    if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int32_t clinux_packet_receive(int32_t fd, void *buffer, uint32_t capacity, struct clinux_frame *frame) {
    struct sockaddr_ll from;
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(struct tpacket_auxdata)) + CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec part = {buffer, capacity};
    struct msghdr message = {
        .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = sizeof control};
    memset(frame, 0, sizeof *frame);
    ssize_t count;
    do { count = recvmsg(fd, &message, MSG_TRUNC); } while (count < 0 && errno == EINTR);
    if (count < 0) return -errno;
    frame->length = (uint32_t)count;
    frame->stored = (uint64_t)count < capacity ? (uint32_t)count : capacity;
    frame->outgoing = from.sll_pkttype == PACKET_OUTGOING;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec time;
            memcpy(&time, CMSG_DATA(c), sizeof time);
            frame->seconds = time.tv_sec;
            frame->nanoseconds = time.tv_nsec;
        } else if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA) {
            struct tpacket_auxdata data;
            memcpy(&data, CMSG_DATA(c), sizeof data);
            if (data.tp_status & TP_STATUS_VLAN_VALID) {
                frame->has_tag = 1;
                frame->tag = data.tp_vlan_tci;
                frame->tag_protocol = data.tp_status & TP_STATUS_VLAN_TPID_VALID ? data.tp_vlan_tpid : 0x8100;
            }
        }
    }
    if (frame->seconds == 0) {
        struct timespec time;
        clock_gettime(CLOCK_REALTIME, &time);
        frame->seconds = time.tv_sec;
        frame->nanoseconds = time.tv_nsec;
    }
    return 0;
}

int32_t clinux_packet_statistics(int32_t fd, uint32_t *seen, uint32_t *lost) {
    struct tpacket_stats statistics;
    socklen_t size = sizeof statistics;
    if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &size) < 0) return -errno;
    *seen = statistics.tp_packets;
    *lost = statistics.tp_drops;
    return 0;
}

int32_t clinux_bind_to_link(int32_t fd, const char *name) {
    return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)) < 0 ? -errno : 0;
}
