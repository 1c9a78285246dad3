import CLinux
import UrsaBase

/// A filter of system calls: a list of what is allowed, everything else is a violation. It is written as the classic BPF
/// program that seccomp(2) takes (Documentation/userspace-api/seccomp_filter.rst, Documentation/networking/filter.rst).
struct SystemCallFilter {
    /// What happens to a call that no rule allows.
    enum Violation {
        /// The process ends with SIGSYS; its keeper tells.
        case kill
        /// The call fails so, for tests.
        case fail(Int32)

        /// SECCOMP_RET_KILL_PROCESS and SECCOMP_RET_ERRNO of linux/seccomp.h.
        fileprivate var result: UInt32 {
            switch self {
            case .kill: 0x8000_0000
            case .fail(let errno): 0x0005_0000 | UInt32(truncatingIfNeeded: errno) & 0xffff
            }
        }
    }

    /// A condition on the low half of an argument.
    struct Condition {
        let argument: UInt32
        let mask: UInt32
        let values: [UInt32]
    }

    private var steps: [clinux_filter_step] = []
    private let violation: Violation

    // Operations of linux/bpf_common.h: load a word, jump if equal, jump if greater or equal, and with a constant, return.
    private static let load: UInt16 = 0x20, jumpEqual: UInt16 = 0x15, jumpAtLeast: UInt16 = 0x35, and: UInt16 = 0x54
    private static let end: UInt16 = 0x06
    private static let allow: UInt32 = 0x7fff_0000

    init(onViolation violation: Violation) {
        self.violation = violation
        // struct seccomp_data: number, architecture, instruction pointer, six arguments of 8 bytes.
        add(SystemCallFilter.load, 4)
        add(SystemCallFilter.jumpEqual, 0xc000_003e, ifTrue: 1)  // AUDIT_ARCH_X86_64 of linux/audit.h
        add(SystemCallFilter.end, violation.result)
        add(SystemCallFilter.load, 0)
        // Numbers of the x32 interface begin at __X32_SYSCALL_BIT and mean other calls.
        add(SystemCallFilter.jumpAtLeast, 0x4000_0000, ifFalse: 1)
        add(SystemCallFilter.end, violation.result)
    }

    private mutating func add(_ code: UInt16, _ value: UInt32, ifTrue: Int = 0, ifFalse: Int = 0) {
        steps.append(
            clinux_filter_step(
                code: code, if_true: UInt8(truncatingIfNeeded: ifTrue), if_false: UInt8(truncatingIfNeeded: ifFalse),
                value: value))
    }

    /// Allows calls with any arguments.
    mutating func allow(_ calls: SystemCall...) {
        for call in calls {
            add(SystemCallFilter.jumpEqual, call.rawValue, ifFalse: 1)
            add(SystemCallFilter.end, SystemCallFilter.allow)
        }
    }

    /// Allows a call when one of the conditions holds. A call may be named so once, and not by `allow(_:)` before.
    mutating func allow(_ call: SystemCall, where conditions: [Condition]) {
        // Per condition: load, mask, one jump and one end per value. Small enough for a jump's 8 bits by far.
        let length = conditions.reduce(0) { $0 + 2 + 2 * $1.values.count } + 1
        add(SystemCallFilter.jumpEqual, call.rawValue, ifFalse: length)
        for condition in conditions {
            add(SystemCallFilter.load, 16 + 8 * condition.argument)
            add(SystemCallFilter.and, condition.mask)
            for value in condition.values {
                add(SystemCallFilter.jumpEqual, value, ifFalse: 1)
                add(SystemCallFilter.end, SystemCallFilter.allow)
            }
        }
        add(SystemCallFilter.end, violation.result)
    }

    /// Lets calls fail that the C library tries and goes on without.
    mutating func refuse(_ errno: Int32, _ calls: SystemCall...) {
        for call in calls {
            add(SystemCallFilter.jumpEqual, call.rawValue, ifFalse: 1)
            add(SystemCallFilter.end, Violation.fail(errno).result)
        }
    }

    /// Sets it upon the calling thread and those that it starts from now on; there is no way back.
    func enter() throws(UrsaError) {
        var steps = steps
        steps.append(clinux_filter_step(code: SystemCallFilter.end, if_true: 0, if_false: 0, value: violation.result))
        try check(clinux_no_new_privileges(), "give up new privileges")
        try check(clinux_filter_system_calls(steps, UInt16(clamping: steps.count)), "filter system calls")
    }
}
