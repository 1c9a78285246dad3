/// The system calls that a filter names, by their numbers (the kernel's arch/x86/entry/syscalls/syscall_64.tbl).
enum SystemCall: UInt32 {
    case read = 0, write = 1, open = 2, close = 3, fstat = 5, poll = 7, lseek = 8, mmap = 9, mprotect = 10, munmap = 11
    case brk = 12, rtSigaction = 13, rtSigprocmask = 14, rtSigreturn = 15, ioctl = 16, pread64 = 17, pwrite64 = 18
    case readv = 19, writev = 20, schedYield = 24, mremap = 25, madvise = 28, nanosleep = 35, getpid = 39, accept = 43
    case socket = 41, connect = 42, sendto = 44, recvfrom = 45, sendmsg = 46, recvmsg = 47, shutdown = 48
    case clone = 56, exit = 60, fcntl = 72
    case fsync = 74, fdatasync = 75, ftruncate = 77, sigaltstack = 131, prctl = 157, gettid = 186, futex = 202
    case schedGetaffinity = 204, restartSyscall = 219, clockGettime = 228, clockNanosleep = 230, exitGroup = 231
    case epollWait = 232, epollCtl = 233, tgkill = 234, openat = 257, newfstatat = 262, ppoll = 271, setRobustList = 273
    case epollPwait = 281, fallocate = 285, accept4 = 288, eventfd2 = 290, epollCreate1 = 291, preadv = 295
    case pwritev = 296, recvmmsg = 299, prlimit64 = 302, sendmmsg = 307, seccomp = 317, getrandom = 318
    case membarrier = 324, preadv2 = 327, pwritev2 = 328, rseq = 334, ioUringSetup = 425, ioUringEnter = 426
    case ioUringRegister = 427, clone3 = 435
}
