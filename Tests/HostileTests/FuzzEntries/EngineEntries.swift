import CLinux
import Glibc
import UrsaBase

@testable import UrsaVMM

extension Entry {
    /// What the native engine reads: kernels and configurations of people, accesses of guests to its small devices.
    static let engine: [Entry] = [
        Entry("Kernel", limit: 4096) { (bytes) throws(Violation) in
            // Whatever the file says, a kernel lies inside of the guest's memory or is refused.
            let memory = EngineGround.memory
            guard let file = EngineGround.file(bytes) else { return }
            let loaded = try accepted { () throws(UrsaError) in try KernelImage.load(fd: file.raw, into: memory) }
            guard let loaded else { return }
            try need(loaded.range.lowerBound >= KernelImage.lowest, "a kernel over the tables")
            try need(
                memory.pointer(loaded.range.lowerBound, UInt64(loaded.range.count)) != nil, "a kernel outside of memory"
            )
            _ = try accepted { () throws(UrsaError) in
                try BootTables.write(
                    loaded, initrd: file.raw, commandLine: "quiet", map: MemoryMap(memory, hasPCI: true), rsdp: 0xe0000,
                    into: memory)
            }
        },
        Entry("LZ4", limit: 2048) { (bytes) throws(Violation) in
            var target = [UInt8](repeating: 0xa5, count: 20000)
            let count = bytes.withUnsafeBytes { source in
                target.withUnsafeMutableBytes { target in
                    LZ4.unpack(source, into: UnsafeMutableRawBufferPointer(rebasing: target[0..<16384]))
                }
            }
            try need((count ?? 0) <= 16384, "\(count ?? 0) bytes in 16384")
            try need(target[16384...].allSatisfy { $0 == 0xa5 }, "bytes behind the end")
        },
        Entry("MachineConfiguration", limit: 2048) { (bytes) throws(Violation) in
            let made = try accepted { () throws(UrsaError) in try MachineConfiguration(try JSON.parse(bytes)) }
            guard let made else { return }
            try need((1...254).contains(made.cpus) && made.memory % (1 << 20) == 0, "a machine that can't be")
        },
        Entry("Ports") { (script) throws(Violation) in
            // A step is an access: what and how wide, where, which value; or something that somebody types.
            guard let bench = try? PortBench() else { throw Violation(description: "no devices") }
            while script.step() {
                let (kind, place, low) = (script.byte(), script.byte(), script.byte())
                let size = 1 << Int(kind >> 1 & 3)
                let address = PortBench.base[Int(kind >> 3 & 7)] + UInt64(place & 15)
                if kind & 0x40 != 0 {
                    _ = bench.line.receive([low, place])
                } else if kind & 1 == 0 {
                    _ = bench.bus.read(address, size: size)
                } else {
                    let value = UInt64(low) &* 0x0101_0101_0101_0101
                    bench.bus.write(
                        address, size: size, value: size == 8 ? value : value & (1 << (8 * UInt64(size)) - 1))
                }
                // Mostly somebody reads, at times nobody for long.
                if place & 0xf0 == 0 {
                    try need(bench.line.takeSent().count <= SerialLine.capacity, "no end of a line")
                }
            }
            try need(bench.line.takeSent().count <= SerialLine.capacity, "a line without end")
        },
    ]
}

/// What the entries stand on.
private enum EngineGround {
    static let memory: GuestRAM = {
        guard let memory = try? GuestRAM(bytes: 32 << 20) else { fatalError("no memory") }
        return memory
    }()

    static func file(_ bytes: [UInt8]) -> OwnedFD? {
        let raw = clinux_memfd("kernel")
        guard raw >= 0 else { return nil }
        let fd = OwnedFD(raw)
        guard (try? fd.writeAll(bytes, to: "a kernel")) != nil else { return nil }
        return fd
    }
}

/// The small devices on a bus.
private final class PortBench {
    static let base: [UInt64] = [0x3f8, 0x70, 0x600, 0x64, 0x505, 0x3f8, 0x60, 0x3f0]
    let bus = Bus()
    let line: SerialLine
    private final class Deaf: LifeCycleRequests { func request(_ request: LifeCycleRequest) {} }

    init() throws(UrsaError) {
        line = try SerialLine(.none)
        let requests = Deaf()
        let port = SerialPort(line, try InterruptController(nil).makeLine(gsi: 4))
        try line.start(for: port)
        try bus.add(port, at: 0x3f8, count: 8, name: "serial port")
        try bus.add(
            Clock(now: { Clock.Moment(seconds: 1_700_000_000, nanoseconds: 0) }), at: 0x70, count: 2, name: "clock")
        try bus.add(PowerManagement(requests), at: 0x600, count: 4, name: "power")
        try bus.add(ResetPulse(requests, isCommand: true), at: 0x64, count: 1, name: "pulse")
        try bus.add(PanicNotice(requests), at: 0x505, count: 1, name: "panic")
    }
}
