import CLinux
import Glibc
import TestSupport
import Testing
import UrsaBase

@testable import UrsaVMM

/// Driver and device at the same time, each on a thread of its own, by the rules that let both sleep.
@Suite struct DriverAndDeviceTests {
    /// Gives every chain back at once.
    private final class Mirror: VirtioDevice, @unchecked Sendable {
        init() { super.init(type: .entropy, queueSizes: [64], configurationSize: 8) }
        override func serve(_ queue: Int, _ chain: inout Chain) -> Int? { Int(chain.writableBytes) }
    }

    /// Virtio 1.2 section 2.7.10.1: whether going from `old` to `new` passes what the other side waits for.
    private static func passes(_ event: UInt16, _ new: UInt16, _ old: UInt16) -> Bool { new &- event &- 1 < new &- old }

    /// A doorbell that is rung only when the device asks for it, an interrupt that comes only when the driver asks: with a
    /// fence missing on either side both would sleep for ever, once in some thousand times.
    @Test func `no doorbell and no interrupt is lost between a driver and a device that sleep whenever they can`()
        throws
    {
        let driven = try DrivenDevice(Mirror())
        driven.start()
        let queue = try #require(driven.queues[0])
        #expect(driven.device.offeredFeatures.contains(.eventIndex))
        var random = Seeded(1)
        var done: UInt16 = 0
        var (rings, sleeps) = (0, 0)
        for round in 0..<60_000 {
            let old = queue.made
            for _ in 0...random.below(4) { queue.add([.write(driven.buffers, 64)]) }
            let target = queue.made
            queue.wantInterrupt(after: target &- 1)
            clinux_full_fence()
            if Self.passes(queue.wantedNotification, target, old) {
                rings += 1
                driven.kick(0)
            }
            while done != target {
                if queue.takeUsed() != nil {
                    done &+= 1
                    continue
                }
                sleeps += 1
                var waiting = pollfd(fd: driven.line.eventFD, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, 10_000) == 1 else {
                    Issue.record(
                        "round \(round): both sleep; \(done) of \(target) came back, \(queue.usedIndex) are there")
                    return
                }
                _ = driven.takeInterrupt()
                driven.put(0x64, driven.word(0x60))
            }
        }
        // Else nothing was tried.
        #expect(rings > 100 && sleeps > 100, "\(rings) doorbells, \(sleeps) sleeps")
        #expect(!driven.needsReset)
    }

    @Test func `a driver that reads a field in parts sees by the generation that it has changed meanwhile`() throws {
        let driven = try DrivenDevice(Mirror())
        let configuration = driven.device.configuration
        let writer = try OSThread {
            for value in 0..<20_000 as Range<UInt64> { configuration.set(value << 32 | value, at: 0) }
        }
        var (whole, torn) = (0, 0)
        for _ in 0..<5_000 {
            let before = driven.word(0xfc)
            let (low, high) = (driven.word(0x100), driven.word(0x104))
            if driven.word(0xfc) != before {
                torn += 1
            } else {
                whole += 1
                #expect(low == high)
            }
        }
        writer.join()
        let last = driven.word(0xfc)
        configuration.set(UInt64(19_999) << 32 | 19_999, at: 0)
        #expect(driven.word(0xfc) == last, "what stays the same is no change")
        configuration.set(UInt8(1), at: 0)
        #expect(driven.word(0xfc) != last)
    }
}
