#define _GNU_SOURCE
#include "clinux_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define RESULT(call) ({ long result = (call); result < 0 ? -errno : result; })

int64_t clinux_random(void *buffer, uint64_t count) { return RESULT(getrandom(buffer, count, 0)); }

int32_t clinux_tap_has_header(int32_t fd) {
    struct ifreq request;
    memset(&request, 0, sizeof request);
    if (ioctl(fd, TUNGETIFF, &request) < 0) return -errno;
    return (request.ifr_flags & IFF_VNET_HDR) != 0;
}

int32_t clinux_tap_set_header_size(int32_t fd, int32_t size) {
    int value = size;
    return (int32_t)RESULT(ioctl(fd, TUNSETVNETHDRSZ, &value));
}

int32_t clinux_tap_set_offloads(int32_t fd, uint32_t offloads) {
    return (int32_t)RESULT(ioctl(fd, TUNSETOFFLOAD, (unsigned long)offloads));
}

int32_t clinux_tap_set_queue(int32_t fd, int32_t attach) {
    struct ifreq request;
    memset(&request, 0, sizeof request);
    request.ifr_flags = attach ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
    return (int32_t)RESULT(ioctl(fd, TUNSETQUEUE, &request));
}

int32_t clinux_tap_open_queue(const char *name, int32_t vnet_hdr, int32_t several) {
    if (strlen(name) >= IFNAMSIZ) return -ENAMETOOLONG;
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -errno;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TAP | IFF_NO_PI | (vnet_hdr ? IFF_VNET_HDR : 0) | (several ? IFF_MULTI_QUEUE : 0);
    if (ioctl(fd, TUNSETIFF, &request) < 0) { int e = errno; close(fd); return -e; }
    return fd;
}

int32_t clinux_accept(int32_t listener) {
    return (int32_t)RESULT(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

int32_t clinux_connect_in(int32_t folder, const char *name) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int length = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof address.sun_path) return -ENAMETOOLONG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) { int e = errno; close(fd); return -e; }
    return fd;
}

// Of one piece, as most frames are, the kernel needs no list: that saves it a copy and its checks.
int64_t clinux_readv(int32_t fd, const struct iovec *pieces, int32_t count) {
    if (count == 1) return RESULT(read(fd, pieces->iov_base, pieces->iov_len));
    return RESULT(readv(fd, pieces, count));
}

int64_t clinux_writev(int32_t fd, const struct iovec *pieces, int32_t count) {
    if (count == 1) return RESULT(write(fd, pieces->iov_base, pieces->iov_len));
    return RESULT(writev(fd, pieces, count));
}

int64_t clinux_send_pieces(int32_t socket, const struct iovec *pieces, int32_t count) {
    struct msghdr message = { .msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count };
    return RESULT(sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

int64_t clinux_receive_pieces(int32_t socket, const struct iovec *pieces, int32_t count) {
    struct msghdr message = { .msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count };
    return RESULT(recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC));
}

int32_t clinux_message_pair(int32_t fds[2]) {
    return (int32_t)RESULT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
}

int32_t clinux_send_message(int32_t socket, const void *bytes, uint32_t length, int32_t fd, int32_t wait) {
    char control[CMSG_SPACE(sizeof(int))];
    memset(control, 0, sizeof control);
    struct iovec piece = { (void *)bytes, length };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    ssize_t r;
    do r = sendmsg(socket, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)); while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : (int32_t)r;
}

int32_t clinux_receive_message(int32_t socket, void *bytes, uint32_t length, int32_t *fd, int32_t wait) {
    // Room for more than one, so that what nobody asked for is closed and not kept.
    char control[CMSG_SPACE(8 * sizeof(int))];
    struct iovec piece = { bytes, length };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control,
                              .msg_controllen = sizeof control };
    *fd = -1;
    ssize_t r;
    do r = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT)); while (r < 0 && errno == EINTR);
    if (r < 0) return -errno;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int one;
            memcpy(&one, CMSG_DATA(h) + i * sizeof(int), sizeof one);
            if (*fd < 0) *fd = one; else close(one);
        }
    }
    return (int32_t)r;
}
