#define _GNU_SOURCE
#include "clinux_sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(sizeof(struct clinux_filter_step) == sizeof(struct sock_filter), "one instruction of a filter");

int32_t clinux_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : -errno; }

int32_t clinux_filter_system_calls(const struct clinux_filter_step *steps, uint16_t count) {
    struct sock_fprog program = { .len = count, .filter = (struct sock_filter *)steps };
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : -errno;
}

int32_t clinux_forbid_file_names(void) {
    // Every right that the kernel knows is handled and none is given. Later versions than the header's know more.
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
    if (version < 0) return -errno;
    uint64_t rights = (1ULL << 13) - 1;
    if (version >= 2) rights |= 1ULL << 13; // LANDLOCK_ACCESS_FS_REFER
    struct landlock_ruleset_attr attributes = { .handled_access_fs = rights };
    long ruleset = syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    if (ruleset < 0) return -errno;
    long result = syscall(SYS_landlock_restrict_self, (int)ruleset, 0);
    int32_t error = result == 0 ? 0 : -errno;
    close((int)ruleset);
    return error;
}

int32_t clinux_fork_helper(void) {
    // Without a parent that waits a child would stay as a zombie; this program has no other children.
    if (signal(SIGCHLD, SIG_IGN) == SIG_ERR) return -errno;
    pid_t pid = fork();
    if (pid < 0) return -errno;
    if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    return pid;
}

int32_t clinux_close_all_but(int32_t one, int32_t other) {
    unsigned first = (unsigned)(one < other ? one : other), second = (unsigned)(one < other ? other : one);
    if (first < 3) return -EINVAL;
    if (first > 3 && syscall(SYS_close_range, 3U, first - 1, 0) < 0) return -errno;
    if (second > first + 1 && syscall(SYS_close_range, first + 1, second - 1, 0) < 0) return -errno;
    return syscall(SYS_close_range, second + 1, ~0U, 0) < 0 ? -errno : 0;
}

extern char **environ;

void clinux_forget_environment(void) {
    for (char **entry = environ; *entry; entry++) memset(*entry, 0, strlen(*entry));
}
