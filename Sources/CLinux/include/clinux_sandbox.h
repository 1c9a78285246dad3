#pragma once
#include <stdint.h>

// What the calling thread, and threads that it starts from then on, may not do any more. Each returns 0 or -errno.

// One instruction of a filter (struct sock_filter of linux/filter.h; Documentation/userspace-api/seccomp_filter.rst).
struct clinux_filter_step {
    uint16_t code;
    uint8_t if_true, if_false;
    uint32_t value;
};

// No program that it might start has more rights than it has (prctl(2), PR_SET_NO_NEW_PRIVS).
int32_t clinux_no_new_privileges(void);
// System calls go through a filter from now on, besides those that are there already (seccomp(2)).
int32_t clinux_filter_system_calls(const struct clinux_filter_step *steps, uint16_t count);
// No file can be opened by name any more, by whatever system call or io_uring request (landlock(7)). -ENOSYS or -EOPNOTSUPP
// where the kernel has no Landlock.
int32_t clinux_forbid_file_names(void);

// ---- a helper of the program's own ---------------------------------------------------------------------------------

// fork(2), for a program with a single thread: returns the child's pid, and 0 in the child. The child is killed when the
// thread that made it ends; nobody has to wait for it.
int32_t clinux_fork_helper(void);
// Closes every descriptor but the standard ones and two others.
int32_t clinux_close_all_but(int32_t one, int32_t other);
// Overwrites the process's environment, as others see it in /proc, by zeros.
void clinux_forget_environment(void);
