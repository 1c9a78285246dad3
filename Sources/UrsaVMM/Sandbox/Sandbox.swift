import CLinux
import Glibc
public import UrsaBase

/// What the monitor's threads may ask of the kernel. A guest that breaks out of the machine finds itself in a process
/// that opens no file, starts no program, makes no socket, and gets no new rights; a call that is not allowed kills the
/// process with SIGSYS, which its keeper tells in words, and nothing else.
///
/// Filters are inherited: a thread has its own besides those of the thread that started it. So the kinds stand within
/// each other: `io` ⊂ `processor`, which starts I/O threads when a driver enables a queue, ⊂ `control`. What a device needs a
/// new socket for is done by a process beside (`VsockBroker`), which has a filter of its own.
///
/// io_uring requests don't pass filters. Those that name files are forbidden by Landlock where the kernel has it; the
/// ring is why `control` is not entered before files are open.
public enum Sandbox {
    /// A kind of thread.
    public enum Kind: Sendable, CaseIterable {
        /// Runs the guest's code and the registers of devices.
        case processor
        /// Serves a queue of a device: disk, network, entropy.
        case io
        /// The serial port's other side.
        case console
        /// The event loop: monitors and the machine's life.
        case control
    }

    /// What happens when a thread does what it may not.
    public enum Violation: Sendable {
        /// The process ends with SIGSYS.
        case kill
        /// The call fails with EPERM: for tests.
        case refuse
    }

    /// Shuts the program in, by its first thread, when all files and sockets are open and no other thread runs.
    static func begin() {
        IOThreadStart.hook.withLock { $0 = { _ in Sandbox.enter(.io) } }
        enter(.control)
    }

    /// Shuts the calling thread, and those that it starts from now on, in. A kernel without seccomp is no reason not to
    /// run: the engine's user has few rights as it is.
    public static func enter(_ kind: Kind) {
        do throws(UrsaError) { try enter(kind, onViolation: .kill) } catch {
            try? writeAllBytes(2, Array("ursa-vmm: no sandbox: \(error)\n".utf8), "a message")
        }
    }

    /// Shuts the calling thread in, with another consequence.
    public static func enter(_ kind: Kind, onViolation violation: Violation) throws(UrsaError) {
        if kind == .control {
            try check(clinux_no_new_privileges(), "give up new privileges")
            // Absent before Linux 5.13, and where it was not chosen when the kernel started.
            _ = clinux_forbid_file_names()
        }
        try filter(kind, violation == .kill ? .kill : .fail(EPERM)).enter()
    }

    /// Shuts the broker of vsock connections in: it makes unix sockets, connects them by name and hands them over.
    static func enterBroker(onViolation violation: Violation = .kill) {
        do throws(UrsaError) {
            try check(clinux_no_new_privileges(), "give up new privileges")
            _ = clinux_forbid_file_names()
            var filter = SystemCallFilter(onViolation: violation == .kill ? .kill : .fail(EPERM))
            filter.allow(
                .recvmsg, .connect, .sendmsg, .close, .futex, .brk, .munmap, .exitGroup, .restartSyscall, .rtSigreturn)
            filter.allow(.socket, where: [.init(argument: 0, mask: .max, values: [UInt32(AF_UNIX)])])
            filter.allow(.mmap, where: [.init(argument: 2, mask: UInt32(PROT_EXEC), values: [0])])
            try filter.enter()
        } catch {
            try? writeAllBytes(2, Array("ursa-vmm: no sandbox for vsock: \(error)\n".utf8), "a message")
        }
    }

    private static func filter(_ kind: Kind, _ violation: SystemCallFilter.Violation) -> SystemCallFilter {
        var filter = SystemCallFilter(onViolation: violation)
        // The most frequent first: the kernel remembers only calls that are allowed whatever their arguments are.
        if kind != .io, kind != .console { filter.allow(.ioctl, where: deviceRequests + [kvmRequests]) }
        if kind == .io { filter.allow(.ioctl, where: deviceRequests) }
        common(&filter)
        if kind != .console { data(&filter) }
        if kind == .processor || kind == .control {
            threads(&filter)
            filter.allow(.eventfd2, .epollCreate1, .ioUringSetup, .ioUringRegister)
        }
        // A queue's thread opens the ring of its disk itself, because only it may use it.
        if kind == .io { filter.allow(.ioUringSetup, .ioUringRegister, .epollCreate1, .eventfd2) }
        // Consoles and vsock take callers; threads inherit what those that started them may.
        filter.allow(.accept4, .accept)
        if kind == .control { filter.allow(.rtSigaction) }
        return filter
    }

    /// What a Swift program does whatever it is about: memory, locks, clocks, its own end.
    private static func common(_ filter: inout SystemCallFilter) {
        filter.allow(
            .read, .write, .futex, .epollWait, .epollPwait, .epollCtl, .readv, .writev, .poll, .ppoll, .close, .madvise,
            .munmap, .brk, .mremap, .sendto, .recvfrom, .sendmsg, .recvmsg, .shutdown, .rtSigreturn, .rtSigprocmask,
            .sigaltstack, .schedYield, .nanosleep, .clockNanosleep, .clockGettime, .getpid, .gettid, .getrandom, .exit,
            .exitGroup, .restartSyscall, .setRobustList, .rseq, .membarrier, .schedGetaffinity, .prlimit64)
        // No memory can be made executable.
        let noExecution = SystemCallFilter.Condition(argument: 2, mask: UInt32(PROT_EXEC), values: [0])
        filter.allow(.mmap, where: [noExecution])
        filter.allow(.mprotect, where: [noExecution])
        // Signals go to threads of this process only: processors are called out of the guest by one.
        filter.allow(.tgkill, where: [.init(argument: 0, mask: .max, values: [UInt32(bitPattern: getpid())])])
        // Flags; and the locks of disk images, F_OFD_GETLK and F_OFD_SETLK (linux/fcntl.h).
        let commands = [F_GETFD, F_SETFD, F_GETFL, F_SETFL, 36, 37]
        filter.allow(
            .fcntl, where: [.init(argument: 1, mask: .max, values: commands.map { UInt32(bitPattern: $0) })])
        // AT_EMPTY_PATH: the C library's fstat.
        filter.allow(.newfstatat, where: [.init(argument: 3, mask: 0x1000, values: [0x1000])])
        filter.allow(.fstat)
        // The C library looks into /proc when it gives memory back, and goes on without.
        filter.refuse(EACCES, .open, .openat)
    }

    /// What moves the guest's data.
    private static func data(_ filter: inout SystemCallFilter) {
        filter.allow(
            .ioUringEnter, .preadv, .pwritev, .pread64, .pwrite64, .preadv2, .pwritev2, .fdatasync, .fsync, .fallocate,
            .lseek, .ftruncate, .recvmmsg, .sendmmsg)
    }

    /// Starting threads, and shutting them in. clone3 hides its flags in memory, where a filter can't look: the C library
    /// takes clone when it is not there.
    private static func threads(_ filter: inout SystemCallFilter) {
        filter.refuse(ENOSYS, .clone3)
        // CLONE_VM and CLONE_THREAD of linux/sched.h: a thread, no process.
        filter.allow(.clone, where: [.init(argument: 0, mask: 0x10100, values: [0x10100])])
        // PR_SET_NAME, PR_SET_NO_NEW_PRIVS.
        filter.allow(.prctl, where: [.init(argument: 0, mask: .max, values: [15, 38])])
        // SECCOMP_SET_MODE_FILTER
        filter.allow(.seccomp, where: [.init(argument: 0, mask: .max, values: [1])])
    }

    /// KVM's own requests (linux/kvm.h, KVMIO).
    private static let kvmRequests = SystemCallFilter.Condition(argument: 1, mask: 0xff00, values: [0xae00])

    /// Of vhost all (linux/vhost.h, VHOST_VIRTIO), of taps what a driver's choice of features needs: TUNSETOFFLOAD,
    /// TUNSETVNETHDRSZ, TUNSETQUEUE (linux/if_tun.h).
    private static let deviceRequests = [
        SystemCallFilter.Condition(argument: 1, mask: 0xff00, values: [0xaf00]),
        SystemCallFilter.Condition(argument: 1, mask: .max, values: [0x4004_54d0, 0x4004_54d8, 0x4004_54d9]),
    ]
}
