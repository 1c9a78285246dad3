import Glibc
import UrsaBase

/// A 16550A at eight ports (National Semiconductor PC16550D), whose other side is a `SerialLine`.
///
/// What the guest sends goes at once: the transmitter is empty again after each byte, unless the line's buffer is full. The interrupt is
/// one edge whenever the pin of a real chip would rise.
public final class SerialPort: BusDevice, @unchecked Sendable {
    // SAFETY: `state` is behind its lock; what is sent and received goes through the line, which has its own.

    private struct State {
        var interruptEnable: UInt8 = 0
        var lineControl: UInt8 = 0
        var modemControl: UInt8 = 0
        var scratch: UInt8 = 0
        var divisor: UInt16 = 12
        var isFIFO = false
        /// THRE has become true and IIR was not read since.
        var isTransmitterNews = false
        var hasOverrun = false
        /// Level of the interrupt pin.
        var isRaised = false
        /// Looped back by the modem control register.
        var loop = ByteRing(capacity: 16)
    }
    private let state = Locked(State())
    private let line: SerialLine
    private let interrupt: InterruptLine

    /// A port that raises `interrupt`; the line calls back when bytes came or there is room again.
    init(_ line: SerialLine, _ interrupt: InterruptLine) {
        self.line = line
        self.interrupt = interrupt
        super.init()
    }

    /// As after power-on. What is on its way to the other side still arrives.
    func reset() { state.withLock { $0 = State() } }

    /// The line has bytes for the guest, or room for more of its own.
    func lineChanged(hasRoom: Bool) {
        state.withLock { state in
            if hasRoom { state.isTransmitterNews = true }
            update(&state)
        }
    }

    public override func read(offset: UInt64, size: Int) -> UInt64 {
        UInt64(state.withLock { state in readRegister(offset, &state) })
    }

    public override func write(offset: UInt64, size: Int, value: UInt64) {
        state.withLock { state in writeRegister(offset, UInt8(truncatingIfNeeded: value), &state) }
    }

    // MARK: Registers

    private static let divisorLatch: UInt8 = 0x80, loopBack: UInt8 = 0x10

    private func readRegister(_ offset: UInt64, _ state: inout State) -> UInt8 {
        let isLatch = state.lineControl & Self.divisorLatch != 0
        switch offset {
        case 0 where isLatch: return UInt8(truncatingIfNeeded: state.divisor)
        case 1 where isLatch: return UInt8(truncatingIfNeeded: state.divisor >> 8)
        case 0:
            let byte = state.modemControl & Self.loopBack != 0 ? state.loop.take() : line.takeReceived()
            update(&state)
            return byte ?? 0
        case 1: return state.interruptEnable
        case 2:
            let cause = pending(state)
            if cause == 0x02 { state.isTransmitterNews = false; update(&state) }
            return cause | (state.isFIFO ? 0xc0 : 0)
        case 3: return state.lineControl
        case 4: return state.modemControl
        case 5:
            let status = lineStatus(state)
            if state.hasOverrun { state.hasOverrun = false; update(&state) }
            return status
        case 6:
            // Carrier, data set ready, clear to send; or the outputs in loop-back: DTR→DSR, RTS→CTS, OUT1→RI, OUT2→DCD.
            guard state.modemControl & Self.loopBack != 0 else { return 0xb0 }
            let out = state.modemControl
            return (out & 1) << 5 | (out & 2) << 3 | (out & 4) << 4 | (out & 8) << 4
        case 7: return state.scratch
        default: return 0xff
        }
    }

    private func writeRegister(_ offset: UInt64, _ value: UInt8, _ state: inout State) {
        let isLatch = state.lineControl & Self.divisorLatch != 0
        switch offset {
        case 0 where isLatch: state.divisor = state.divisor & 0xff00 | UInt16(value)
        case 1 where isLatch: state.divisor = state.divisor & 0x00ff | UInt16(value) << 8
        case 0:
            if state.modemControl & Self.loopBack != 0 {
                if !state.loop.put(value) { state.hasOverrun = true }
                state.isTransmitterNews = true
            } else if line.send(value) {
                state.isTransmitterNews = true
            }
            update(&state)
        case 1:
            let enabled = value & ~state.interruptEnable
            state.interruptEnable = value & 0x0f
            // Enabling the transmitter's interrupt while it is empty raises it (PC16550D, 8.4).
            if enabled & 2 != 0, line.hasRoom { state.isTransmitterNews = true }
            update(&state)
        case 2:
            state.isFIFO = value & 1 != 0
            if value & 2 != 0 {
                line.clearReceived()
                state.loop.clear()
            }
            update(&state)
        case 3: state.lineControl = value
        case 4: state.modemControl = value & 0x1f; update(&state)
        case 7: state.scratch = value
        default: break
        }
    }

    private func lineStatus(_ state: borrowing State) -> UInt8 {
        let isLooped = state.modemControl & Self.loopBack != 0
        var status: UInt8 = isLooped || line.hasRoom ? 0x60 : 0
        if isLooped ? !state.loop.isEmpty : line.hasReceived { status |= 1 }
        if state.hasOverrun { status |= 2 }
        return status
    }

    /// The interrupt identification: the most urgent enabled cause, 1 when there is none.
    private func pending(_ state: borrowing State) -> UInt8 {
        let enabled = state.interruptEnable
        if enabled & 4 != 0, state.hasOverrun { return 0x06 }
        let hasData = state.modemControl & Self.loopBack != 0 ? !state.loop.isEmpty : line.hasReceived
        if enabled & 1 != 0, hasData { return 0x04 }
        if enabled & 2 != 0, state.isTransmitterNews { return 0x02 }
        return 0x01
    }

    private func update(_ state: inout State) {
        let isRaised = pending(state) != 1
        if isRaised, !state.isRaised { interrupt.signal() }
        state.isRaised = isRaised
    }
}

/// Bytes in a ring of fixed size.
struct ByteRing {
    private var bytes: [UInt8]
    private var start = 0
    private(set) var count = 0

    init(capacity: Int) { bytes = [UInt8](repeating: 0, count: max(1, capacity)) }

    var isEmpty: Bool { count == 0 }
    var room: Int { bytes.count - count }

    mutating func put(_ byte: UInt8) -> Bool {
        guard count < bytes.count else { return false }
        bytes[(start + count) % bytes.count] = byte
        count += 1
        return true
    }

    mutating func take() -> UInt8? {
        guard count > 0 else { return nil }
        defer { drop(1) }
        return bytes[start]
    }

    mutating func clear() { (start, count) = (0, 0) }

    /// The longest run that lies together.
    func withFirstRun<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[start..<min(start + count, bytes.count)])) }
    }

    mutating func drop(_ number: Int) {
        let number = min(number, count)
        start = (start + number) % bytes.count
        count -= number
    }
}
