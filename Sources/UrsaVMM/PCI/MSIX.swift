import UrsaBase

/// The table of message interrupts of a function (PCI 3.0, 6.8.2): what the guest writes into it becomes routes of the
/// kernel, a vector at a time, when it first unmasks the vector.
///
/// All calls are made with the owner's lock held.
final class MSIXTable {
    private struct Entry {
        var address: UInt64 = 0
        var data: UInt32 = 0
        /// Bit 0: masked, as after a reset.
        var control: UInt32 = 1
        var message: MessageInterrupt?
    }

    private let interrupts: InterruptController
    private var entries: [Entry]
    private var isEnabled = false
    private var isMasked = false
    private let log: @Sendable (String) -> Void

    init(vectors: Int, _ interrupts: InterruptController, log: @escaping @Sendable (String) -> Void) {
        self.interrupts = interrupts
        self.log = log
        entries = [Entry](repeating: Entry(), count: vectors)
    }

    var count: Int { entries.count }

    /// The interrupt of a vector; nil when there is no such vector.
    func message(_ vector: UInt16) -> MessageInterrupt? {
        guard Int(vector) < entries.count else { return nil }
        if let message = entries[Int(vector)].message { return message }
        do throws(UrsaError) {
            entries[Int(vector)].message = try interrupts.makeMessage()
        } catch {
            log("vector \(vector): \(error)")
        }
        return entries[Int(vector)].message
    }

    /// The capability's message control word changed.
    func setControl(isEnabled: Bool, isMasked: Bool) {
        guard isEnabled != self.isEnabled || isMasked != self.isMasked else { return }
        self.isEnabled = isEnabled
        self.isMasked = isMasked
        for index in entries.indices { apply(index) }
    }

    private func apply(_ index: Int) {
        guard isEnabled, !isMasked, entries[index].control & 1 == 0 else {
            entries[index].message?.mask()
            return
        }
        guard let message = message(UInt16(index)) else { return }
        do throws(UrsaError) {
            try message.set(address: entries[index].address, data: entries[index].data)
        } catch {
            log("vector \(index): \(error)")
        }
    }

    func reset() {
        isEnabled = false
        isMasked = false
        for index in entries.indices {
            entries[index].message?.reset()
            entries[index].address = 0
            entries[index].data = 0
            entries[index].control = 1
        }
    }

    // MARK: Accesses by the guest

    /// A read of the table.
    func read(offset: Int, size: Int) -> UInt64 {
        var result: UInt64 = 0
        for place in 0..<max(0, min(size, 8)) {
            let position = offset &+ place
            guard position >= 0, position / 16 < entries.count else { continue }
            let entry = entries[position / 16]
            let word: UInt64 = position & 8 == 0 ? entry.address : UInt64(entry.data) | UInt64(entry.control) << 32
            result |= (word >> UInt64(8 &* (position & 7)) & 0xff) << UInt64(8 &* place)
        }
        return result
    }

    /// A write of 4 or 8 aligned bytes; others are undefined (6.8.2) and do nothing.
    func write(offset: Int, size: Int, value: UInt64) {
        guard size == 4 || size == 8, offset >= 0, offset % size == 0, offset / 16 < entries.count else { return }
        let index = offset / 16
        let low = UInt32(truncatingIfNeeded: value)
        switch offset & 15 {
        case 0:
            if size == 8 { entries[index].address = value } else { entries[index].address.setLow(low) }
        case 4: entries[index].address.setHigh(low)
        case 8:
            entries[index].data = low
            if size == 8 { entries[index].control = UInt32(truncatingIfNeeded: value >> 32) & 1 }
        default: entries[index].control = low & 1
        }
        apply(index)
    }

    /// A read of the pending bits (6.8.2): what was raised while masked.
    func readPending(offset: Int, size: Int) -> UInt64 {
        var result: UInt64 = 0
        for bit in 0..<max(0, min(size, 8)) * 8 {
            let vector = offset &* 8 &+ bit
            guard vector >= 0, vector < entries.count, let message = entries[vector].message else { continue }
            if message.isPending { result |= 1 << UInt64(bit) }
        }
        return result
    }
}
