import Glibc
import UrsaBase

/// The real-time clock and CMOS memory of a PC (Motorola MC146818A) at two ports: index and data.
///
/// It runs on the host's clock, in UTC, and the guest can set it: what it sets is kept as the distance from the host's
/// time, over resets of the machine, as a battery would. It answers at once and is never "being updated": a stock kernel
/// without it waits four seconds for it at boot. There is no alarm and no periodic interrupt, and the bits that ask for
/// them stay off; the weekday always follows from the date.
public final class Clock: BusDevice, @unchecked Sendable {
    /// Seconds and nanoseconds since 1970.
    struct Moment: Equatable {
        var seconds: Int
        var nanoseconds: Int

        /// The host's time.
        static var now: Moment {
            var time = timespec()
            clock_gettime(CLOCK_REALTIME, &time)
            return Moment(seconds: time.tv_sec, nanoseconds: time.tv_nsec)
        }

        /// A sum or a difference, with nanoseconds from 0 to 999,999,999. Both come from a guest: nothing overflows.
        init(seconds: Int, nanoseconds: Int) {
            let whole = nanoseconds >= 0 ? nanoseconds / 1_000_000_000 : -((999_999_999 - nanoseconds) / 1_000_000_000)
            self.seconds = seconds &+ whole
            self.nanoseconds = nanoseconds - whole * 1_000_000_000
        }
    }

    // SAFETY: all state is behind the lock.
    private struct State {
        var index: UInt8 = 0
        /// Memory, the alarm's registers, and the registers of time while the guest holds the clock.
        var memory = [UInt8](repeating: 0, count: 128)
        var rate: UInt8 = Clock.runningRate
        var mode: UInt8 = Mode.hours24
        /// How far the guest's time is ahead of the host's.
        var lead = Moment(seconds: 0, nanoseconds: 0)

        /// The guest holds the clock to set it: by a bit of register B, or by the divider of register A.
        var isHeld: Bool { mode & Mode.set != 0 || isDividerHeld }
        var isDividerHeld: Bool { rate & 0x60 == 0x60 }
    }

    /// Bits of register B.
    private enum Mode {
        static let set: UInt8 = 0x80
        static let binary: UInt8 = 0x04
        static let hours24: UInt8 = 0x02
        static let summerTime: UInt8 = 0x01
        /// What can be written: all but the three interrupts and the square wave.
        static let all = set | binary | hours24 | summerTime
    }

    /// 32768 Hz, the usual rate of an interrupt that never comes, not being updated.
    private static let runningRate: UInt8 = 0x26
    private static let century: UInt8 = 0x32
    /// The registers that count.
    private static let times: [UInt8] = [0, 2, 4, 6, 7, 8, 9, century]

    private let state = Locked(State())
    private let now: @Sendable () -> Moment
    private let changed: @Sendable (Int) -> Void

    /// A clock.
    ///
    /// - Parameters:
    ///   - now: the host's time.
    ///   - changed: called when the guest has set it, with the seconds that it is ahead of the host's time.
    init(now: @escaping @Sendable () -> Moment = { .now }, changed: @escaping @Sendable (Int) -> Void = { _ in }) {
        self.now = now
        self.changed = changed
    }

    /// The reset of the machine: as a PC's firmware leaves it, running, with time and memory as they are.
    func reset() {
        change { state in
            state.index = 0
            state.rate = Clock.runningRate
            state.mode = Mode.hours24
            return false
        }
    }

    public override func read(offset: UInt64, size: Int) -> UInt64 {
        state.withLock { state in
            // The index port can't be read on real hardware; it gives all ones.
            guard offset == 1 else { return 0xff }
            switch state.index {
            case 0x0a: return UInt64(state.rate)
            case 0x0b: return UInt64(state.mode)
            case 0x0c: return 0  // no interrupt was raised
            case 0x0d: return 0x80  // the battery is fine
            case let index where Clock.times.contains(index) && !state.isHeld:
                return UInt64(register(index, time(state), state.mode))
            case let index: return UInt64(state.memory[Int(index & 0x7f)])
            }
        }
    }

    public override func write(offset: UInt64, size: Int, value: UInt64) {
        let byte = UInt8(truncatingIfNeeded: value)
        // Bit 7 of the index masks NMI on a PC.
        guard offset == 1 else { return state.withLock { $0.index = byte & 0x7f } }
        change { state in
            switch state.index {
            case 0x0a: state.rate = byte & 0x7f
            case 0x0b: state.mode = byte & Mode.all
            case 0x0c, 0x0d: break
            case let index where Clock.times.contains(index) && !state.isHeld:
                latch(&state)
                state.memory[Int(index)] = byte
                setTime(&state, nanoseconds: time(state).nanoseconds)
                return true
            case let index: state.memory[Int(index & 0x7f)] = byte
            }
            return false
        }
    }

    // MARK: Time

    private func time(_ state: borrowing State) -> Moment {
        let host = now()
        return Moment(
            seconds: host.seconds &+ state.lead.seconds, nanoseconds: host.nanoseconds + state.lead.nanoseconds)
    }

    /// Changes registers, and what follows from it: whoever takes hold of the clock sees it standing; whoever lets go has
    /// set it. `body` says whether it has set it itself.
    private func change(_ body: (inout State) -> Bool) {
        let lead: Int? = state.withLock { state in
            let before = (isHeld: state.isHeld, isDividerHeld: state.isDividerHeld, mode: state.mode)
            let moment = time(state)
            var isSet = body(&state)
            if state.isHeld, !before.isHeld {
                // As the guest knows the registers: in the form that they had.
                for index in Clock.times { state.memory[Int(index)] = register(index, moment, before.mode) }
            } else if !state.isHeld, before.isHeld {
                // The divider begins anew half a second before the next second (data sheet, "divider control").
                setTime(&state, nanoseconds: before.isDividerHeld ? 500_000_000 : moment.nanoseconds)
                isSet = true
            }
            return isSet ? state.lead.seconds + (state.lead.nanoseconds >= 500_000_000 ? 1 : 0) : nil
        }
        if let lead { changed(lead) }
    }

    private func latch(_ state: inout State) {
        let moment = time(state)
        for index in Clock.times { state.memory[Int(index)] = register(index, moment, state.mode) }
    }

    /// Sets the time to what the registers in memory say. Values that no clock shows are counted on: minute 75 is a quarter
    /// past the next hour.
    private func setTime(_ state: inout State, nanoseconds: Int) {
        let mode = state.mode
        let memory = state.memory
        func value(_ index: UInt8, mask: UInt8 = 0xff) -> Int32 {
            let raw = memory[Int(index)] & mask
            return Int32(mode & Mode.binary != 0 ? raw : raw >> 4 * 10 + raw & 15)
        }
        var parts = tm()
        parts.tm_sec = value(0)
        parts.tm_min = value(2)
        parts.tm_hour = value(4)
        if mode & Mode.hours24 == 0 {
            parts.tm_hour = value(4, mask: 0x7f) % 12 + (memory[4] & 0x80 != 0 ? 12 : 0)
        }
        parts.tm_mday = value(7)
        parts.tm_mon = value(8) - 1
        parts.tm_year = value(Clock.century) * 100 + value(9) - 1900
        let host = now()
        state.lead = Moment(
            seconds: timegm(&parts) &- host.seconds, nanoseconds: nanoseconds - host.nanoseconds)
    }

    /// A register of time in the form that register B asks for.
    private func register(_ index: UInt8, _ moment: Moment, _ mode: UInt8) -> UInt8 {
        var seconds = time_t(moment.seconds)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let year = Int(parts.tm_year) + 1900
        var flag: UInt8 = 0
        var value: Int
        switch index {
        case 0: value = Int(parts.tm_sec)
        case 2: value = Int(parts.tm_min)
        case 4:
            value = Int(parts.tm_hour)
            if mode & Mode.hours24 == 0 {
                flag = value >= 12 ? 0x80 : 0
                value = (value + 11) % 12 + 1
            }
        case 6: value = Int(parts.tm_wday) + 1
        case 7: value = Int(parts.tm_mday)
        case 8: value = Int(parts.tm_mon) + 1
        case 9: value = (year % 100 + 100) % 100
        default: value = (year / 100 % 100 + 100) % 100
        }
        return flag | UInt8(truncatingIfNeeded: mode & Mode.binary != 0 ? value : (value / 10) << 4 | value % 10)
    }
}
