import CLinux
import Glibc
import UrsaBase
import UrsaKVM

/// One virtual processor on a thread of its own: it runs the guest and carries out what the guest leaves for.
///
/// The loop allocates nothing, takes no lock and, for devices on the buses, touches no reference count.
final class Processor: @unchecked Sendable {
    // SAFETY: `kernel` is used by the processor's thread, and by others only while that is parked (see `Processors`); the words
    // behind `counts` are written by the thread alone.

    let index: Int
    let kernel: VCPU
    private let ports: Bus
    private let memory: Bus
    private let requests: any LifeCycleRequests
    /// The kernel's id of the thread; 0 before it has started.
    private let thread: UnsafeMutablePointer<UInt64>
    /// How often the guest left, by `KVM_EXIT_…`.
    private let counts: UnsafeMutablePointer<UInt64>
    /// For `--exits`: by port, then by page of addresses.
    let details: ExitDetails?

    static let reasons = 64

    init(
        _ kernel: consuming VCPU, index: Int, ports: Bus, memory: Bus, requests: any LifeCycleRequests, isCounting: Bool
    ) {
        self.index = index
        self.kernel = kernel
        self.ports = ports
        self.memory = memory
        self.requests = requests
        thread = .allocate(capacity: 1)
        thread.initialize(to: 0)
        counts = .allocate(capacity: Processor.reasons)
        counts.initialize(repeating: 0, count: Processor.reasons)
        details = isCounting ? ExitDetails() : nil
    }

    deinit {
        thread.deallocate()
        counts.deallocate()
    }

    var threadID: Int32 { Int32(truncatingIfNeeded: clinux_load64_acquire(thread)) }
    func noteThread() { clinux_store64_release(thread, UInt64(UInt32(bitPattern: clinux_gettid()))) }

    /// Exits by reason.
    var exits: [UInt64] { (0..<Processor.reasons).map { clinux_load64_relaxed(counts + $0) } }

    /// Takes the processor out of the guest, now or when it next goes there.
    func kick() {
        kernel.requestExit()
        let thread = threadID
        if thread != 0 { _ = clinux_kvm_kick(thread) }
    }

    /// Runs the guest until `wanted` is not 0.
    func run(while wanted: UnsafeMutablePointer<UInt64>) {
        do throws(UrsaError) {
            while clinux_load64_acquire(wanted) == 0 {
                switch try kernel.enter() {
                case .exited: handle()
                case .interrupted: kernel.clearExitRequest()
                }
            }
            // An access completes only with the next run (api.rst, 5): without it a saved or reset state would be half done.
            kernel.requestExit()
            while try kernel.enter() == .exited { handle() }
        } catch {
            requests.request(.failed("processor \(index): \(error.message)"))
        }
    }

    private func handle() {
        let reason = kernel.exitReason
        if reason < UInt32(Processor.reasons) {
            let place = counts + Int(reason)
            clinux_store64_relaxed(place, clinux_load64_relaxed(place) &+ 1)
        }
        switch Int32(truncatingIfNeeded: reason) {
        case KVM_EXIT_IO: handlePorts(clinux_kvm_port_exit(kernel.runState))
        case KVM_EXIT_MMIO: handleMemory(clinux_kvm_memory_exit(kernel.runState))
        case KVM_EXIT_INTR, KVM_EXIT_IRQ_WINDOW_OPEN, KVM_EXIT_HLT: break
        case KVM_EXIT_SHUTDOWN: requests.request(.reset(.guestReset))
        case KVM_EXIT_SYSTEM_EVENT:
            switch Int32(clinux_kvm_system_event(kernel.runState)) {
            case KVM_SYSTEM_EVENT_SHUTDOWN: requests.request(.powerOff(.guestShutdown))
            case KVM_SYSTEM_EVENT_CRASH: requests.request(.panicked)
            default: requests.request(.reset(.guestReset))
            }
        default: fail(reason)
        }
    }

    private func handlePorts(_ exit: clinux_port_exit) {
        details?.countPort(exit.port)
        guard let data = kernel.portData(exit) else { return }
        let size = Int(exit.size)
        var place = data
        // A string instruction: `count` accesses one after the other.
        for _ in 0..<exit.count {
            if exit.is_write != 0 {
                ports.write(UInt64(exit.port), size: size, value: load(place, size))
            } else {
                store(ports.read(UInt64(exit.port), size: size), place, size)
            }
            place += size
        }
    }

    private func handleMemory(_ exit: clinux_memory_exit) {
        details?.countMemory(exit.address)
        guard let data = UnsafeMutableRawPointer(exit.data), exit.size <= 8 else { return }
        let size = Int(exit.size)
        switch size {
        case 1, 2, 4, 8:
            if exit.is_write != 0 {
                memory.write(exit.address, size: size, value: load(data, size))
            } else {
                store(memory.read(exit.address, size: size), data, size)
            }
        default:
            // Part of an access that crosses a page.
            for index in 0..<size {
                let address = exit.address &+ UInt64(index)
                if exit.is_write != 0 {
                    memory.write(address, size: 1, value: load(data + index, 1))
                } else {
                    store(memory.read(address, size: 1), data + index, 1)
                }
            }
        }
    }

    @inline(__always)
    private func load(_ place: UnsafeMutableRawPointer, _ size: Int) -> UInt64 {
        switch size {
        case 1: UInt64(place.load(as: UInt8.self))
        case 2: UInt64(place.loadUnaligned(as: UInt16.self))
        case 4: UInt64(place.loadUnaligned(as: UInt32.self))
        default: place.loadUnaligned(as: UInt64.self)
        }
    }

    @inline(__always)
    private func store(_ value: UInt64, _ place: UnsafeMutableRawPointer, _ size: Int) {
        switch size {
        case 1: place.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        case 2: place.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
        case 4: place.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
        default: place.storeBytes(of: value, as: UInt64.self)
        }
    }

    private func fail(_ reason: UInt32) {
        let rip = (try? kernel.registers())?.rip ?? 0
        let at = "at 0x\(String(rip, radix: 16))"
        let what =
            switch Int32(truncatingIfNeeded: reason) {
            case KVM_EXIT_INTERNAL_ERROR:
                "KVM can't go on \(at) (internal error \(clinux_kvm_internal_error(kernel.runState)))"
            case KVM_EXIT_FAIL_ENTRY:
                "the host's processor refuses the guest's state \(at) "
                    + "(0x\(String(clinux_kvm_entry_failure(kernel.runState), radix: 16)))"
            default: "KVM left the guest \(at) for a reason that is not known here (\(reason))"
            }
        requests.request(.failed("processor \(index): \(what)"))
    }
}
