#define _GNU_SOURCE
#include "clinux_vmm.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

void clinux_eventfd_signal(int32_t fd) {
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written;
}

int32_t clinux_eventfd_take(int32_t fd) {
    uint64_t count;
    return read(fd, &count, sizeof count) == sizeof count && count != 0;
}

int32_t clinux_eventfd_is_set(int32_t fd) {
    struct pollfd waiting = { .fd = fd, .events = POLLIN };
    return poll(&waiting, 1, 0) == 1 && (waiting.revents & POLLIN) != 0;
}

int32_t clinux_accept_nonblocking(int32_t socket) {
    int fd = accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return fd < 0 ? -errno : fd;
}
