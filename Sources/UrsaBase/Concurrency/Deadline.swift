import Glibc

/// A moment on the monotonic clock by which something must have happened.
public struct Deadline: Sendable, Comparable {
    /// Nanoseconds of CLOCK_MONOTONIC.
    public let nanoseconds: UInt64

    private init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// The present moment.
    public static var now: Deadline {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Deadline(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    /// The moment `seconds` from now; negative counts as now.
    public static func after(seconds: Double) -> Deadline {
        Deadline(nanoseconds: now.nanoseconds + UInt64(max(0, min(seconds, 1e9)) * 1e9))
    }

    /// Whether the moment has come.
    public var isPast: Bool { Deadline.now >= self }
    /// Milliseconds left, at least 0, rounded up; fits poll(2).
    public var millisecondsLeft: Int32 {
        let now = Deadline.now.nanoseconds
        return now >= nanoseconds ? 0 : Int32(min((nanoseconds - now + 999_999) / 1_000_000, UInt64(Int32.max)))
    }
    /// Seconds from `earlier` to this moment.
    public func seconds(since earlier: Deadline) -> Double {
        nanoseconds >= earlier.nanoseconds ? Double(nanoseconds - earlier.nanoseconds) / 1e9 : 0
    }

    /// Earlier first.
    public static func < (a: Deadline, b: Deadline) -> Bool { a.nanoseconds < b.nanoseconds }
}

/// Sleeps without using the processor.
public func pause(milliseconds: UInt32) {
    var time = timespec(tv_sec: time_t(milliseconds / 1000), tv_nsec: Int(milliseconds % 1000) * 1_000_000)
    var rest = timespec()
    while nanosleep(&time, &rest) != 0, errno == EINTR { time = rest }
}

/// Seconds since 1970 by the wall clock.
public func wallClock() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// A wall-clock time as RFC 3339 text in UTC with milliseconds. Times outside of the years 1970 to 9999, and what is
/// no number, become the nearest that can be written.
public func timestamp(_ seconds: Double) -> String {
    let seconds = seconds > 0 ? min(seconds, 253_402_300_799) : 0
    var whole = time_t(seconds)
    var parts = tm()
    gmtime_r(&whole, &parts)
    // Half a microsecond more, for thousandths that no Double is exactly.
    let milliseconds = min(999, Int((seconds - Double(whole)) * 1000 + 0.0005))
    func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let fraction = milliseconds < 10 ? "00\(milliseconds)" : milliseconds < 100 ? "0\(milliseconds)" : "\(milliseconds)"
    let day = "\(1900 + parts.tm_year)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
    return "\(day)T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(fraction)Z"
}

/// Seconds since 1970 of a text that `timestamp` wrote; nil for any other text.
public func seconds(ofTimestamp text: String) -> Double? {
    let bytes = Array(text.utf8)
    guard bytes.count == 24, bytes[23] == UInt8(ascii: "Z") else { return nil }
    func number(_ range: Range<Int>) -> Int32? {
        bytes[range].allSatisfy { (48...57).contains($0) } ? Int32(String(decoding: bytes[range], as: UTF8.self)) : nil
    }
    guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
        let minute = number(14..<16), let second = number(17..<19), let milliseconds = number(20..<23)
    else { return nil }
    var parts = tm()
    (parts.tm_year, parts.tm_mon, parts.tm_mday) = (year - 1900, month - 1, day)
    (parts.tm_hour, parts.tm_min, parts.tm_sec) = (hour, minute, second)
    let result = Double(timegm(&parts)) + Double(milliseconds) / 1000
    // timegm(3) takes a 31st of February and the like for days of the next month.
    return timestamp(result) == text ? result : nil
}
