import CLinux
import Glibc
import Testing
import UrsaBase

@testable import UrsaVMM

/// Each test shuts a thread of its own in, so that the others stay free.
@Suite struct SandboxTests {
    /// What a thread of a kind gets for some calls, 0 where they succeed.
    private static func errors(
        _ kind: Sandbox.Kind, _ calls: @escaping @Sendable () -> [Int32]
    ) throws -> [Int32] {
        try OSThread.run { () throws(UrsaError) in
            try Sandbox.enter(kind, onViolation: .refuse)
            return calls()
        }
    }

    /// pidfd_open(2): the first step to another process's descriptors.
    private static func pidfd() -> Int32 {
        let result = clinux_pidfd_open(getppid())
        errno = -result
        return result
    }

    private static func error(_ result: some BinaryInteger) -> Int32 { result < 0 ? errno : 0 }

    @Test(arguments: Sandbox.Kind.allCases)
    func `no thread opens files, starts programs, makes sockets or looks at other processes`(
        _ kind: Sandbox.Kind
    ) throws {
        let got = try SandboxTests.errors(kind) {
            [
                SandboxTests.error(open("/etc/hostname", O_RDONLY)),
                SandboxTests.error(openat(AT_FDCWD, "/etc/hostname", O_RDONLY)),
                SandboxTests.error(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)),
                SandboxTests.error(kill(getppid(), 0)), SandboxTests.error(unlink("/tmp/there-is-no-such-file")),
                SandboxTests.error(execve("/bin/false", [nil], [nil])), SandboxTests.error(chmod("/tmp/none", 0)),
                SandboxTests.error(mkdir("/tmp/none", 0)), SandboxTests.error(SandboxTests.pidfd()),
            ]
        }
        #expect(got == [EACCES, EACCES] + Array(repeating: EPERM, count: 7))
    }

    @Test(arguments: Sandbox.Kind.allCases)
    func `no thread makes memory that can be executed`(_ kind: Sandbox.Kind) throws {
        let got = try SandboxTests.errors(kind) {
            let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            let executable = mmap(nil, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            return [
                page == MAP_FAILED ? errno : 0, executable == MAP_FAILED ? EPERM : 0,
                SandboxTests.error(mprotect(page, 4096, PROT_READ | PROT_EXEC)), SandboxTests.error(munmap(page, 4096)),
            ]
        }
        #expect(got == [0, EPERM, EPERM, 0])
    }

    @Test func `signals reach threads of this process only`() throws {
        let parent = getppid()
        let got = try SandboxTests.errors(.processor) {
            [
                pthread_kill(pthread_self(), 0), SandboxTests.error(kill(getpid(), 0)),
                SandboxTests.error(kill(parent, 0)),
            ]
        }
        #expect(got == [0, EPERM, EPERM])
    }

    @Test func `a thread that was shut in starts threads, and they have its filter and their own`() throws {
        let got = try SandboxTests.errors(.processor) {
            do {
                return try OSThread.run { () throws(UrsaError) in
                    try Sandbox.enter(.io, onViolation: .refuse)
                    // eventfd, allowed to both; KVM_GET_API_VERSION, allowed to the outer only.
                    let event = clinux_eventfd()
                    return [SandboxTests.error(event), SandboxTests.error(ioctl(event, 0xae00))]
                }
            } catch { return [-1] }
        }
        #expect(got == [0, EPERM])
        // ENOTTY is the eventfd's own answer: the request came through.
        let outer = try SandboxTests.errors(.processor) { [SandboxTests.error(ioctl(clinux_eventfd(), 0xae00))] }
        #expect(outer == [ENOTTY])
    }

    @Test func `terminals and taps of others are out of reach of requests`() throws {
        let got = try SandboxTests.errors(.control) {
            let event = clinux_eventfd()
            // TIOCSTI, TUNSETIFF; TUNSETOFFLOAD comes through.
            return [0x5412, 0x4004_54ca, 0x4004_54d0].map { SandboxTests.error(ioctl(event, $0, 0)) }
        }
        #expect(got == [EPERM, EPERM, ENOTTY])
    }
}
