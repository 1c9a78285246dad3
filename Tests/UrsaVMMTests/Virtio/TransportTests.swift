import CLinux
import Testing
import UrsaBase

@testable import UrsaVMM

/// What both transports promise their drivers, and what they do when those break the rules.
@Suite struct TransportTests {
    @Test func `a driver finds the entropy device by its registers and gets bytes and an interrupt`() throws {
        let driven = try DrivenDevice(EntropyDevice())
        #expect(driven.word(0) == 0x7472_6976 && driven.word(4) == 2 && driven.word(8) == 4)
        driven.start()
        #expect(driven.status == 15)
        let queue = try #require(driven.queues[0])
        queue.add([.write(driven.buffers, 4096), .write(driven.buffers + 0x2000, 4096)])
        driven.kick(0)
        let used = try #require(queue.waitUsed())
        #expect(used.written == 8192)
        let bytes = try #require(driven.ram.read(4096, at: driven.buffers))
        #expect(Set(bytes).count > 200)
        #expect(driven.wait { driven.takeInterrupt() })
        #expect(driven.word(0x60) == 1)
        driven.put(0x64, 1)
        #expect(driven.word(0x60) == 0)
    }

    @Test func `features that were not offered are not accepted`() throws {
        let driven = try DrivenDevice(EntropyDevice())
        driven.negotiate(driven.device.offeredFeatures.union(VirtioFeatures(bit: 3)))
        #expect(driven.status == 3)
        driven.put(0x70, 15)
        #expect(driven.status & 4 == 0, "no device without features")
    }

    @Test func `a driver of the legacy interface is not accepted`() throws {
        let driven = try DrivenDevice(EntropyDevice())
        driven.negotiate([.eventIndex])
        #expect(driven.status == 3)
    }

    @Test func `feature bits past the known words are refused`() throws {
        let driven = try DrivenDevice(EntropyDevice())
        driven.put(0x70, 3)
        driven.put(0x24, 7)
        driven.put(0x20, 1)
        driven.put(0x24, 1)
        driven.put(0x20, 1)
        driven.put(0x70, 11)
        #expect(driven.status & 8 == 0)
    }

    @Test func `a queue outside of memory asks for a reset and never becomes ready`() throws {
        let driven = try DrivenDevice(EntropyDevice())
        driven.negotiate(driven.device.offeredFeatures)
        driven.setUp(0, QueueLayout(size: 64, descriptors: 0xffff_ffff_ffff_f000, available: 0, used: 0))
        #expect(driven.word(0x44) == 0 && driven.needsReset)
        driven.put(0x70, 15)
        #expect(driven.needsReset)
        driven.put(0x70, 0)
        #expect(driven.status == 0, "a reset mends it")
        driven.start()
        #expect(driven.status == 15)
    }

    @Test func `a fault in a queue asks for a reset, with an interrupt, and the reset mends it`() throws {
        let driven = try DrivenDevice(EntropyDevice())
        driven.start()
        driven.queues[0]?.offer(64)
        driven.kick(0)
        #expect(driven.wait { driven.needsReset })
        #expect(driven.wait { driven.takeInterrupt() })
        #expect(driven.word(0x60) & 2 != 0)
        #expect(driven.messages.withLock { $0 } == ["queue 0: \(QueueFault.headOutside.rawValue)"])
        driven.start()
        let queue = try #require(driven.queues[0])
        queue.add([.write(driven.buffers, 16)])
        driven.kick(0)
        #expect(queue.waitUsed()?.written == 16)
    }

    @Test func `a reset while requests come leaves nothing at work`() throws {
        let driven = try DrivenDevice(EntropyDevice())
        for _ in 0..<200 {
            driven.start()
            let queue = try #require(driven.queues[0])
            for _ in 0..<20 { queue.add([.write(driven.buffers, 4096)]) }
            driven.kick(0)
            driven.put(0x70, 0)
            let before = queue.usedIndex
            #expect(driven.status == 0)
            #expect(queue.usedIndex == before)
        }
    }

    @Test func `a thousand starts and resets leave no descriptor and no thread`() throws {
        let driven = try DrivenDevice(EntropyDevice())
        driven.start()
        driven.put(0x70, 0)
        let (files, threads) = (File.list("/proc/self/fd").count, Self.entropyThreads())
        for _ in 0..<1000 {
            driven.start()
            driven.put(0x70, 0)
        }
        // Other tests run beside this one and have files and threads of their own.
        #expect(File.list("/proc/self/fd").count < files + 200)
        #expect(Self.entropyThreads() < threads + 50)
    }

    private static func entropyThreads() -> Int {
        File.list("/proc/self/task").filter { (File.peek("/proc/self/task/\($0)/comm") ?? "").hasPrefix("entropy/") }
            .count
    }

    @Test func `registers of other sizes and past the end do nothing`() throws {
        let driven = try DrivenDevice(EntropyDevice())
        for offset in stride(from: UInt64(0), through: 0x1008, by: 1) {
            for size in [1, 2, 8] {
                driven.transport.write(offset: offset, size: size, value: 0)
                _ = driven.transport.read(offset: offset, size: size)
            }
        }
        driven.put(0x30, .max)
        driven.put(0x44, 1)
        driven.put(0x50, .max)
        #expect(driven.word(0x34) == 0 && driven.status == 0)
        #expect(driven.transport.read(offset: 0, size: 4) == 0x7472_6976)
    }
}
