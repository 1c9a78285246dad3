// CLinux: the few Linux interfaces that Swift's Glibc module does not import, as plain functions.
//
// Contract of every function here: it returns a value >= 0, or -errno. Returning -errno (instead of setting errno)
// keeps the error safe from anything that Swift's runtime does between the call and the read of errno.
#ifndef CLINUX_H
#define CLINUX_H

#include <stddef.h>
#include <stdint.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

// ---- processes -----------------------------------------------------------------------------------------------------

enum {
    CLINUX_SPAWN_NEW_SESSION = 1,      // setsid(): the child outlives the terminal it was started from
    CLINUX_SPAWN_NO_NEW_PRIVILEGES = 2,// prctl(PR_SET_NO_NEW_PRIVS)
    CLINUX_SPAWN_CHANGE_USER = 4,      // setgroups, setresgid, setresuid to uid and gid below
    CLINUX_SPAWN_DIE_WITH_PARENT = 8,  // prctl(PR_SET_PDEATHSIG, SIGKILL)
    CLINUX_SPAWN_IGNORE_XFSZ = 16,     // writes past the file size limit fail with EFBIG instead of killing the child
};

struct clinux_spawn {
    const char *path;            // absolute path of the program
    char *const *argv;
    char *const *envp;
    const int32_t *fd_source;    // fd_source[i] of the caller becomes fd_target[i] of the child; all others are closed
    const int32_t *fd_target;
    int32_t fd_count;
    int32_t netns_fd;            // network namespace to enter before exec, or -1
    const char *directory;       // working directory, or NULL
    uint32_t uid, gid;
    const uint32_t *groups;      // supplementary groups, used with CLINUX_SPAWN_CHANGE_USER
    int32_t group_count;
    uint32_t flags;
    uint64_t file_size_limit;    // RLIMIT_FSIZE in bytes, 0 = unchanged
};

// Starts a program by vfork and exec, never through a shell. Standard descriptors that fd_target does not name are
// /dev/null. Signal dispositions and mask are reset. Returns the pid; on failure -errno, and *failed_step names the
// step that failed (a string constant).
int32_t clinux_spawn(const struct clinux_spawn *options, const char **failed_step);

int32_t clinux_pidfd_open(int32_t pid);
int32_t clinux_pidfd_send_signal(int32_t pidfd, int32_t signal);
// Duplicates a descriptor out of another process (pidfd_getfd(2)); needs ptrace rights over it.
int32_t clinux_pidfd_getfd(int32_t pidfd, int32_t fd);
// waitid on a pidfd. Fills *code with CLD_EXITED, CLD_KILLED or CLD_DUMPED and *status with exit code or signal.
// Returns 0 when the child was reaped, 1 when no_hang was set and it still runs.
int32_t clinux_wait(int32_t pidfd, int32_t no_hang, int32_t *code, int32_t *status);
// Becomes the parent of orphaned descendants (PR_SET_CHILD_SUBREAPER).
int32_t clinux_set_child_subreaper(void);
// Goes on in a child of its own session while the calling process ends with status 0 (fork, setsid), so that whoever
// started the program can reap it at once. Only for a process with a single thread.
int32_t clinux_detach(void);
// Gives free heap and the program's own read-only pages back to the kernel; those still needed come back from the page
// cache. For a small process that waits for long after a busy start.
int32_t clinux_give_back_memory(void);
// Sets the size of the stacks of all threads that are started from now on, in bytes.
int32_t clinux_set_stack_size(uint64_t bytes);
// Number of processors that the calling thread may run on (sched_getaffinity(2)).
int32_t clinux_count_processors(void);
int32_t clinux_set_process_name(const char *name);
int32_t clinux_ignore_sigpipe(void);
// Faults (SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT) end the process as such again, without the handlers that a
// language's runtime has set to look for their cause.
int32_t clinux_default_faults(void);
// Blocks the signals and returns a signalfd (cloexec, nonblocking) that reports them.
int32_t clinux_signalfd(const int32_t *signals, int32_t count);
// Unblocks every signal in the calling thread.
int32_t clinux_unblock_signals(void);

// ---- namespaces and mounts -----------------------------------------------------------------------------------------

int32_t clinux_unshare_network(void);
int32_t clinux_setns_network(int32_t fd);
// Gives the calling thread a network namespace and a (private) mount namespace of its own, with an empty /run/netns: a
// "host" that nobody else sees, for tests. Threads and programs that it starts afterwards are in it too.
int32_t clinux_unshare_host(void);
int32_t clinux_bind_mount(const char *source, const char *target);
int32_t clinux_make_shared(const char *target);
int32_t clinux_unmount_detach(const char *target);
int32_t clinux_gettid(void);

// ---- descriptors ---------------------------------------------------------------------------------------------------

// O_PATH needs _GNU_SOURCE, which the Glibc module is not built with.
enum { CLINUX_O_PATH = 010000000 };
int32_t clinux_pipe(int32_t fds[2]);
int32_t clinux_ioctl(int32_t fd, uint64_t request, void *argument);
// A socket that reads and writes whole Ethernet frames of one EtherType on a link (packet(7)); non-blocking.
int32_t clinux_link_socket(int32_t link, uint16_t protocol);
// Open-file-description locks (fcntl F_OFD_SETLK), released when the description is closed, also by kill -9. They cover
// `length` bytes from `start`, which need not exist; length 0 is the whole rest of the file.
int32_t clinux_ofd_lock(int32_t fd, int32_t exclusive, int32_t wait, int64_t start, int64_t length);
// Copies descriptors over a unix socket together with one byte (SCM_RIGHTS), at most 64.
int32_t clinux_send_fds(int32_t socket, const int32_t *fds, int32_t count);
// Fills fds (cloexec); returns how many came, 0 at end of stream.
int32_t clinux_receive_fds(int32_t socket, int32_t *fds, int32_t capacity);
int32_t clinux_memfd(const char *name);
// Shares the extents of source with target where the filesystem can (FICLONE).
int32_t clinux_clone_file(int32_t source, int32_t target);
// uid of the process at the other end of a unix socket (SO_PEERCRED).
int32_t clinux_peer_uid(int32_t socket, uint32_t *uid);
int32_t clinux_terminal_size(int32_t fd, uint16_t *columns, uint16_t *rows);
// Switches a terminal to raw mode and stores the old settings in *saved (CLINUX_TERMIOS_SIZE bytes).
enum { CLINUX_TERMIOS_SIZE = 128 };
int32_t clinux_terminal_raw(int32_t fd, void *saved);
int32_t clinux_terminal_restore(int32_t fd, const void *saved);
// rename(2) that refuses to replace (RENAME_NOREPLACE).
int32_t clinux_rename_exclusive(const char *from, const char *to);
// epoll(7): <sys/epoll.h> is not part of Swift's Glibc module. Events carry the descriptor's number.
enum { CLINUX_EPOLL_READ = 0x001, CLINUX_EPOLL_WRITE = 0x004, CLINUX_EPOLL_ERROR = 0x008, CLINUX_EPOLL_HANG_UP = 0x010 };
struct clinux_event { int32_t fd; uint32_t events; };
int32_t clinux_epoll_create(void);
int32_t clinux_epoll_add(int32_t epoll, int32_t fd, uint32_t events);
int32_t clinux_epoll_change(int32_t epoll, int32_t fd, uint32_t events);
int32_t clinux_epoll_remove(int32_t epoll, int32_t fd);
// Fills events (at most 64) and returns how many.
int32_t clinux_epoll_wait(int32_t epoll, struct clinux_event *events, int32_t capacity, int32_t milliseconds);

// Adds an inotify watch for changes of a file or directory to an inotify descriptor; inotify_init1 with cloexec, nonblock.
int32_t clinux_inotify(void);
int32_t clinux_inotify_watch(int32_t fd, const char *path, uint32_t mask);

// ---- an ordinary user's private host -------------------------------------------------------------------------------

// Gives the calling process (which must have a single thread) a user namespace in which it is root, with a network and
// a mount namespace of its own; what is mounted outside goes on to appear inside. user_namespaces(7).
int32_t clinux_unshare_user_host(void);
// Enters the user, network and mount namespaces that the descriptors name. Only for a process with a single thread.
int32_t clinux_enter_user_host(int32_t user, int32_t network, int32_t mounts);
int32_t clinux_mount_tmpfs(const char *target, const char *options);
// Bind mount with everything that is mounted below.
int32_t clinux_bind_mount_tree(const char *source, const char *target);
// A nonblocking packet(7) socket that reads and writes whole Ethernet frames at a link; frames that it wrote itself do
// not come back.
int32_t clinux_packet_socket(const char *link);
// A pair of connected sockets (SOCK_SEQPACKET), each packet a frame; the end of one shows at the other.
int32_t clinux_frame_pair(int32_t fds[2]);
// Switches a link's checksum and segmentation offload off, so that frames leave it whole (ethtool).
int32_t clinux_disable_offloads(const char *link);

#endif
