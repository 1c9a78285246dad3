// What an ordinary user's private host needs: user namespaces, mounts inside them, and Ethernet frames without a tap.
#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static int32_t write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    ssize_t count = write(fd, text, strlen(text));
    int error = count < 0 ? errno : 0;
    close(fd);
    return error ? -error : 0;
}

int32_t clinux_unshare_user_host(void) {
    unsigned uid = geteuid(), gid = getegid();
    char map[64];
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) < 0) return -errno;
    // user_namespaces(7): one's own id may be mapped without rights; the group only after setgroups is given up.
    int32_t result = write_file("/proc/self/setgroups", "deny");
    if (result < 0 && result != -ENOENT) return result;
    snprintf(map, sizeof map, "0 %u 1", uid);
    if ((result = write_file("/proc/self/uid_map", map)) < 0) return result;
    snprintf(map, sizeof map, "0 %u 1", gid);
    if ((result = write_file("/proc/self/gid_map", map)) < 0) return result;
    return mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ? -errno : 0;
}

int32_t clinux_enter_user_host(int32_t user, int32_t network, int32_t mounts) {
    if (setns(user, CLONE_NEWUSER) < 0) return -errno;
    if (setns(network, CLONE_NEWNET) < 0) return -errno;
    return setns(mounts, CLONE_NEWNS) < 0 ? -errno : 0;
}

int32_t clinux_mount_tmpfs(const char *target, const char *options) {
    return mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0 ? -errno : 0;
}

int32_t clinux_bind_mount_tree(const char *source, const char *target) {
    return mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0 ? -errno : 0;
}

int32_t clinux_packet_socket(const char *link) {
    unsigned index = if_nametoindex(link);
    if (index == 0) return -errno;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    int on = 1, space = 4 << 20;
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)index};
    if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &space, sizeof space);
    return fd;
}

int32_t clinux_frame_pair(int32_t fds[2]) {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) return -errno;
    int space = 1 << 20;
    for (int i = 0; i < 2; i++) (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &space, sizeof space);
    return 0;
}

int32_t clinux_disable_offloads(const char *link) {
    static const uint32_t commands[] = {ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int32_t result = 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands && result == 0; i++) {
        struct ethtool_value value = {.cmd = commands[i], .data = 0};
        struct ifreq request;
        memset(&request, 0, sizeof request);
        strncpy(request.ifr_name, link, IFNAMSIZ - 1);
        request.ifr_data = (void *)&value;
        if (ioctl(fd, SIOCETHTOOL, &request) < 0 && errno != EOPNOTSUPP) result = -errno;
    }
    close(fd);
    return result;
}
