/// A device that the processors reach by ports or by addresses.
///
/// Its functions are called by processor threads, several at once: a device has its own lock. Whatever the guest does, an
/// access must neither trap nor wait for long. Sizes are 1, 2, 4 or 8; an access may begin inside of the device's range and reach
/// beyond its end, and may have any alignment.
open class BusDevice: @unchecked Sendable {
    // SAFETY: the class has no state; what subclasses have they guard themselves.

    /// A device without registers.
    public init() {}

    /// A read; only the lowest `size` bytes of the result count.
    ///
    /// - Parameter offset: from the start of the range that the device was added with.
    open func read(offset: UInt64, size: Int) -> UInt64 { .max }

    /// A write; `value` has zeros above its lowest `size` bytes.
    open func write(offset: UInt64, size: Int, value: UInt64) {}
}
