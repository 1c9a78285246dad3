#define _GNU_SOURCE
#include "clinux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/fs.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

// Debian 12's headers know these; older ones may not.
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

#define RESULT(call) ({ long r_ = (call); r_ < 0 ? -errno : (int32_t)r_; })

// The child of vfork shares the parent's memory until exec: it calls the kernel directly (glibc's setresuid would
// signal every thread of the parent) and writes nothing but its own stack and the two failure variables.
int32_t clinux_spawn(const struct clinux_spawn *o, const char **failed_step) {
    volatile int error = 0;
    const char *volatile step = "";
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);

    pid_t pid = vfork();
    if (pid == 0) {
#define CHECK(what, call) do { if ((call) < 0) { error = errno; step = what; _exit(127); } } while (0)
        struct sigaction defaults;
        memset(&defaults, 0, sizeof defaults);
        defaults.sa_handler = SIG_DFL;
        for (int s = 1; s < 65; s++) {
            if (s == SIGKILL || s == SIGSTOP || s == 32 || s == 33) continue;
            sigaction(s, &defaults, NULL);
        }
        if (o->flags & CLINUX_SPAWN_IGNORE_XFSZ) {
            struct sigaction ignore = defaults;
            ignore.sa_handler = SIG_IGN;
            sigaction(SIGXFSZ, &ignore, NULL);
        }
        if (o->flags & CLINUX_SPAWN_NEW_SESSION) CHECK("setsid", setsid());
        if (o->netns_fd >= 0) CHECK("setns", setns(o->netns_fd, CLONE_NEWNET));

        // Descriptors: lift every source above all targets, then put each in its place.
        int highest = 2;
        for (int i = 0; i < o->fd_count; i++) if (o->fd_target[i] > highest) highest = o->fd_target[i];
        int lifted[64];
        if (o->fd_count > 64) { error = E2BIG; step = "more than 64 descriptors"; _exit(127); }
        for (int i = 0; i < o->fd_count; i++)
            CHECK("fcntl(F_DUPFD)", lifted[i] = fcntl(o->fd_source[i], F_DUPFD_CLOEXEC, highest + 1));
        for (int i = 0; i <= 2; i++) {
            int named = 0;
            for (int k = 0; k < o->fd_count; k++) if (o->fd_target[k] == i) named = 1;
            if (named) continue;
            int null = open("/dev/null", O_RDWR);
            CHECK("open /dev/null", null);
            if (null != i) { CHECK("dup2", dup2(null, i)); close(null); }
        }
        if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0)  // before Linux 5.11
            for (int fd = 3; fd < 1024; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
        for (int i = 0; i < o->fd_count; i++) CHECK("dup2", dup2(lifted[i], o->fd_target[i]));

        if (o->directory) CHECK("chdir", chdir(o->directory));
        if (o->file_size_limit) {
            struct rlimit limit = { o->file_size_limit, o->file_size_limit };
            CHECK("setrlimit(RLIMIT_FSIZE)", setrlimit(RLIMIT_FSIZE, &limit));
        }
        if (o->flags & CLINUX_SPAWN_CHANGE_USER) {
            CHECK("setgroups", syscall(SYS_setgroups, (long)o->group_count, o->groups));
            CHECK("setresgid", syscall(SYS_setresgid, o->gid, o->gid, o->gid));
            CHECK("setresuid", syscall(SYS_setresuid, o->uid, o->uid, o->uid));
        }
        // After the change of user, which takes the signal away again (prctl(2)).
        if (o->flags & CLINUX_SPAWN_DIE_WITH_PARENT) CHECK("prctl(PR_SET_PDEATHSIG)", prctl(PR_SET_PDEATHSIG, SIGKILL));
        if (o->flags & CLINUX_SPAWN_NO_NEW_PRIVILEGES)
            CHECK("prctl(PR_SET_NO_NEW_PRIVS)", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        CHECK("exec", execve(o->path, o->argv, o->envp));
#undef CHECK
    }
    int vfork_error = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (pid < 0) { *failed_step = "vfork"; return -vfork_error; }
    if (error) {
        int status;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        *failed_step = step;
        return -error;
    }
    return pid;
}

int32_t clinux_pidfd_open(int32_t pid) { return RESULT(syscall(SYS_pidfd_open, pid, 0)); }
int32_t clinux_pidfd_send_signal(int32_t pidfd, int32_t sig) {
    return RESULT(syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0));
}
int32_t clinux_pidfd_getfd(int32_t pidfd, int32_t fd) { return RESULT(syscall(SYS_pidfd_getfd, pidfd, fd, 0)); }

int32_t clinux_wait(int32_t pidfd, int32_t no_hang, int32_t *code, int32_t *status) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    int r;
    do r = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | (no_hang ? WNOHANG : 0)); while (r < 0 && errno == EINTR);
    if (r < 0) return -errno;
    if (info.si_pid == 0) return 1;
    *code = info.si_code;
    *status = info.si_status;
    return 0;
}

int32_t clinux_set_child_subreaper(void) { return RESULT(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)); }
int32_t clinux_detach(void) {
    pid_t pid = fork();
    if (pid < 0) return -errno;
    if (pid > 0) _exit(0);
    return RESULT(setsid());
}
static int give_back_program(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size;
    (void)unused;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;
        uintptr_t start = (info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        uintptr_t end = info->dlpi_addr + segment->p_vaddr + segment->p_filesz;
        madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 1;  // the first object is the program itself
}

int32_t clinux_give_back_memory(void) {
    malloc_trim(0);
    dl_iterate_phdr(give_back_program, NULL);
    return 0;
}
int32_t clinux_set_stack_size(uint64_t bytes) {
    pthread_attr_t attributes;
    int result = pthread_getattr_default_np(&attributes);
    if (result) return -result;
    result = pthread_attr_setstacksize(&attributes, bytes);
    if (!result) result = pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
    return -result;
}

int32_t clinux_count_processors(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) < 0 ? -errno : CPU_COUNT(&set);
}

int32_t clinux_set_process_name(const char *name) { return RESULT(prctl(PR_SET_NAME, name)); }
int32_t clinux_ignore_sigpipe(void) { return signal(SIGPIPE, SIG_IGN) == SIG_ERR ? -errno : 0; }

int32_t clinux_default_faults(void) {
    static const int faults[] = { SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (signal(faults[i], SIG_DFL) == SIG_ERR) return -errno;
    return 0;
}

int32_t clinux_signalfd(const int32_t *signals, int32_t count) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < count; i++) sigaddset(&set, signals[i]);
    int r = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (r) return -r;
    return RESULT(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int32_t clinux_unblock_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    return -pthread_sigmask(SIG_SETMASK, &none, NULL);
}

int32_t clinux_unshare_network(void) { return RESULT(unshare(CLONE_NEWNET)); }
int32_t clinux_setns_network(int32_t fd) { return RESULT(setns(fd, CLONE_NEWNET)); }
int32_t clinux_unshare_host(void) {
    // A mount namespace of its own needs a working directory of its own (CLONE_FS) in a process with threads.
    if (unshare(CLONE_FS | CLONE_NEWNS | CLONE_NEWNET) < 0) return -errno;
    if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return -errno;
    if (mkdir("/run/netns", 0755) < 0 && errno != EEXIST) return -errno;
    return RESULT(mount("netns", "/run/netns", "tmpfs", 0, "mode=0755"));
}
int32_t clinux_bind_mount(const char *source, const char *target) {
    return RESULT(mount(source, target, "none", MS_BIND, NULL));
}
int32_t clinux_make_shared(const char *target) {
    if (mount("", target, "none", MS_SHARED | MS_REC, NULL) == 0) return 0;
    if (errno != EINVAL) return -errno;
    // Not a mount point yet: make it one first.
    if (mount(target, target, "none", MS_BIND | MS_REC, NULL) < 0) return -errno;
    return RESULT(mount("", target, "none", MS_SHARED | MS_REC, NULL));
}
int32_t clinux_unmount_detach(const char *target) { return RESULT(umount2(target, MNT_DETACH)); }
int32_t clinux_gettid(void) { return (int32_t)syscall(SYS_gettid); }

_Static_assert(O_PATH == CLINUX_O_PATH, "the header repeats the kernel's value");
int32_t clinux_pipe(int32_t fds[2]) { return RESULT(pipe2(fds, O_CLOEXEC)); }
int32_t clinux_ioctl(int32_t fd, uint64_t request, void *argument) { return RESULT(ioctl(fd, request, argument)); }

int32_t clinux_link_socket(int32_t link, uint16_t protocol) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    struct sockaddr_ll address;
    memset(&address, 0, sizeof address);
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(protocol);
    address.sll_ifindex = link;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) { int e = errno; close(fd); return -e; }
    return fd;
}

int32_t clinux_ofd_lock(int32_t fd, int32_t exclusive, int32_t wait, int64_t start, int64_t length) {
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = exclusive ? F_WRLCK : F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = start;
    lock.l_len = length;
    int r;
    do r = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock); while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

int32_t clinux_send_fds(int32_t socket, const int32_t *fds, int32_t count) {
    if (count < 1 || count > 64) return -EINVAL;
    char control[CMSG_SPACE(64 * sizeof(int))];
    memset(control, 0, sizeof control);
    char byte = 'F';
    struct iovec vector = { &byte, 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                              .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int)) };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, (size_t)count * sizeof(int));
    ssize_t r;
    do r = sendmsg(socket, &message, MSG_NOSIGNAL); while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

int32_t clinux_receive_fds(int32_t socket, int32_t *fds, int32_t capacity) {
    char control[CMSG_SPACE(64 * sizeof(int))];
    char byte;
    struct iovec vector = { &byte, 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                              .msg_controllen = sizeof control };
    ssize_t r;
    do r = recvmsg(socket, &message, MSG_CMSG_CLOEXEC); while (r < 0 && errno == EINTR);
    if (r < 0) return -errno;
    int32_t count = 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
        int n = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + (size_t)i * sizeof(int), sizeof fd);
            if (count < capacity) fds[count++] = fd; else close(fd);
        }
    }
    return count;
}

int32_t clinux_memfd(const char *name) { return RESULT(memfd_create(name, MFD_CLOEXEC)); }
int32_t clinux_clone_file(int32_t source, int32_t target) { return RESULT(ioctl(target, FICLONE, source)); }

int32_t clinux_peer_uid(int32_t socket, uint32_t *uid) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
    *uid = credentials.uid;
    return 0;
}

int32_t clinux_terminal_size(int32_t fd, uint16_t *columns, uint16_t *rows) {
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0) return -errno;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return 0;
}

_Static_assert(sizeof(struct termios) <= CLINUX_TERMIOS_SIZE, "room for the saved terminal settings");

int32_t clinux_terminal_raw(int32_t fd, void *saved) {
    struct termios settings;
    if (tcgetattr(fd, &settings) < 0) return -errno;
    memcpy(saved, &settings, sizeof settings);
    cfmakeraw(&settings);
    return RESULT(tcsetattr(fd, TCSADRAIN, &settings));
}

int32_t clinux_terminal_restore(int32_t fd, const void *saved) {
    struct termios settings;
    memcpy(&settings, saved, sizeof settings);
    return RESULT(tcsetattr(fd, TCSADRAIN, &settings));
}

int32_t clinux_rename_exclusive(const char *from, const char *to) {
    return RESULT(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE));
}

int32_t clinux_inotify(void) { return RESULT(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)); }
int32_t clinux_inotify_watch(int32_t fd, const char *path, uint32_t mask) {
    return RESULT(inotify_add_watch(fd, path, mask));
}

_Static_assert(EPOLLIN == CLINUX_EPOLL_READ && EPOLLOUT == CLINUX_EPOLL_WRITE && EPOLLERR == CLINUX_EPOLL_ERROR
                   && EPOLLHUP == CLINUX_EPOLL_HANG_UP, "the header repeats the kernel's values");

static int32_t epoll_control(int32_t epoll, int operation, int32_t fd, uint32_t events) {
    struct epoll_event event = { .events = events, .data.fd = fd };
    return RESULT(epoll_ctl(epoll, operation, fd, &event));
}

int32_t clinux_epoll_create(void) { return RESULT(epoll_create1(EPOLL_CLOEXEC)); }
int32_t clinux_epoll_add(int32_t epoll, int32_t fd, uint32_t events) {
    return epoll_control(epoll, EPOLL_CTL_ADD, fd, events);
}
int32_t clinux_epoll_change(int32_t epoll, int32_t fd, uint32_t events) {
    return epoll_control(epoll, EPOLL_CTL_MOD, fd, events);
}
int32_t clinux_epoll_remove(int32_t epoll, int32_t fd) { return epoll_control(epoll, EPOLL_CTL_DEL, fd, 0); }

int32_t clinux_epoll_wait(int32_t epoll, struct clinux_event *events, int32_t capacity, int32_t milliseconds) {
    struct epoll_event raw[64];
    int n = epoll_wait(epoll, raw, capacity < 64 ? capacity : 64, milliseconds);
    if (n < 0) return -errno;
    for (int i = 0; i < n; i++) events[i] = (struct clinux_event){ raw[i].data.fd, raw[i].events };
    return n;
}
