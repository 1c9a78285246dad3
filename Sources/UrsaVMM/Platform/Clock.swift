import Glibc
import UrsaBase

/// The real-time clock and CMOS memory of a PC (Motorola MC146818A) at two ports: index and data.
///
/// It tells the host's time in UTC and can't be set. It answers at once and is never "being updated": a stock kernel without it waits four
/// seconds for it at boot. No alarm and no periodic interrupt.
public final class Clock: BusDevice, @unchecked Sendable {
    // SAFETY: all state is behind the lock.
    private struct State {
        var index: UInt8 = 0
        var memory = [UInt8](repeating: 0, count: 128)
    }
    private let state = Locked(State())
    private let now: @Sendable () -> Int

    /// A clock that shows the seconds since 1970 that `now` gives.
    init(now: @escaping @Sendable () -> Int = { time(nil) }) { self.now = now }

    func reset() { state.withLock { $0.index = 0 } }

    public override func read(offset: UInt64, size: Int) -> UInt64 {
        state.withLock { state in
            // The index port can't be read on real hardware; it gives all ones.
            guard offset == 1 else { return 0xff }
            return UInt64(register(state.index, state))
        }
    }

    public override func write(offset: UInt64, size: Int, value: UInt64) {
        state.withLock { state in
            // Bit 7 of the index masks NMI on a PC.
            if offset == 0 {
                state.index = UInt8(truncatingIfNeeded: value) & 0x7f
            } else if state.index > 0x0d, state.index != Self.century {
                state.memory[Int(state.index)] = UInt8(truncatingIfNeeded: value)
            }
        }
    }

    private static let century: UInt8 = 0x32

    private func register(_ index: UInt8, _ state: borrowing State) -> UInt8 {
        switch index {
        case 0x0a: return 0x26  // 32768 Hz; not being updated
        case 0x0b: return 0x02  // 24 hours, binary-coded decimal
        case 0x0c: return 0
        case 0x0d: return 0x80  // the battery is fine
        case 0, 2, 4, 6...9, Self.century: break
        case 1, 3, 5: return 0
        default: return state.memory[Int(index & 0x7f)]
        }
        var seconds = time_t(now())
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let year = Int(parts.tm_year) + 1900
        let value: Int =
            switch index {
            case 0: Int(parts.tm_sec)
            case 2: Int(parts.tm_min)
            case 4: Int(parts.tm_hour)
            case 6: Int(parts.tm_wday) + 1
            case 7: Int(parts.tm_mday)
            case 8: Int(parts.tm_mon) + 1
            case 9: year % 100
            default: year / 100 % 100
            }
        return UInt8(truncatingIfNeeded: (value / 10) << 4 | value % 10)
    }
}
