import Glibc
import Testing
import UrsaBase

@Suite("Event loop and threads")
struct ConcurrencyTests {
    @Test("a descriptor's handler is called when it is ready, not after its removal", .timeLimit(.minutes(120)))
    func descriptors() throws {
        let loop = try EventLoop()
        let pair = try UnixSocket.pair()
        let one = pair.one.raw
        let other = pair.other.raw
        var received: [UInt8] = []
        var calls = 0
        try loop.add(other, .read) { _ in
            var buffer = [UInt8](repeating: 0, count: 16)
            received += buffer.prefix(max(0, read(other, &buffer, buffer.count)))
            received = received.isEmpty ? [] : received
            calls += 1
            loop.remove(other)
            _ = write(one, "x", 1)
        }
        loop.after(seconds: 0) { _ = write(one, "x", 1) }
        loop.after(seconds: 0.1) { loop.stop() }
        try loop.run()
        #expect(calls == 1)
    }

    @Test("a hang-up is reported without being asked for", .timeLimit(.minutes(120)))
    func hangUp() throws {
        let loop = try EventLoop()
        let pipe = try makePipe()
        let raw = pipe.read.raw
        var seen: EventLoop.Interest = []
        try loop.add(raw, []) { interest in
            seen = interest
            loop.stop()
        }
        let end = pipe.write.raw
        loop.after(seconds: 0) { shutdownWriteEnd(end) }
        loop.after(seconds: 5) { loop.stop() }
        try loop.run()
        #expect(!seen.intersection(.hangUp).isEmpty)
    }

    @Test("timers fire in order of time, and not when cancelled", .timeLimit(.minutes(120)))
    func timers() throws {
        let loop = try EventLoop()
        var fired: [Int] = []
        loop.after(seconds: 0.06) {
            fired.append(3); loop.stop()
        }
        loop.after(seconds: 0.02) { fired.append(1) }
        let cancelled = loop.after(seconds: 0.03) { fired.append(99) }
        loop.after(seconds: 0.04) {
            fired.append(2); loop.cancel(12345)
        }
        loop.cancel(cancelled)
        try loop.run()
        #expect(fired == [1, 2, 3])
    }

    @Test("a timer that sets itself again at once does not starve the descriptors", .timeLimit(.minutes(120)))
    func fairness() throws {
        let loop = try EventLoop()
        let pair = try UnixSocket.pair()
        let limit = Deadline.after(seconds: 5)
        var served = false
        try loop.add(pair.other.raw, .read) { _ in
            served = true
            loop.stop()
        }
        func again() {
            if limit.isPast { return loop.stop() }
            loop.after(seconds: 0, again)
        }
        // Only then is there something to serve.
        loop.after(seconds: 0) {
            _ = write(pair.one.raw, "x", 1)
            again()
        }
        try loop.run()
        #expect(served)
    }

    @Test("a handler that removes another one of the same batch is obeyed", .timeLimit(.minutes(120)))
    func removalInBatch() throws {
        let loop = try EventLoop()
        let first = try UnixSocket.pair()
        let second = try UnixSocket.pair()
        var calls = 0
        let raws = [first.other.raw, second.other.raw]
        for raw in raws {
            try loop.add(raw, .read) { _ in
                calls += 1
                for each in raws { loop.remove(each) }
            }
        }
        _ = write(first.one.raw, "x", 1)
        _ = write(second.one.raw, "x", 1)
        loop.after(seconds: 0.1) { loop.stop() }
        try loop.run()
        #expect(calls == 1)
        #expect(error { () throws(UrsaError) in try loop.add(-1, .read) { _ in } } != nil)
    }

    @Test("threads hand back what they return or throw")
    func threads() throws {
        #expect(try OSThread.run { () throws(UrsaError) in 42 } == 42)
        #expect(
            error { () throws(UrsaError) in
                _ = try OSThread.run { () throws(UrsaError) -> Int in throw UrsaError(.conflict, "taken") }
            }?.message == "taken")
        let words = try OSThread.concurrently(Array(0..<10)) { (number: Int) throws(UrsaError) -> String in
            "no. \(number)"
        }
        #expect(words == (0..<10).map { "no. \($0)" })
        let count = Locked(0)
        let found = error { () throws(UrsaError) in
            _ = try OSThread.concurrently([1, 2, 3]) { (number: Int) throws(UrsaError) -> Int in
                count.withLock { $0 += 1 }
                if number > 1 { throw UrsaError(.conflict, "no. \(number)") }
                return number
            }
        }
        #expect(found?.message == "no. 2")
        #expect(count.withLock { $0 } == 3, "all have run to their end")
        let most = Locked((now: 0, most: 0))
        try OSThread.concurrently(Array(0..<12), atMost: 3) { (_: Int) throws(UrsaError) in
            most.withLock {
                $0.now += 1
                $0.most = max($0.most, $0.now)
            }
            pause(milliseconds: 5)
            most.withLock { $0.now -= 1 }
        }
        #expect(most.withLock { $0.most } <= 3, "a limit is kept")
        let total = Locked(0)
        let threads = try [1, 2, 3, 4].map { _ in
            try OSThread { for _ in 0..<1000 { total.withLock { $0 += 1 } } }
        }
        for thread in threads { thread.join() }
        #expect(total.withLock { $0 } == 4000)
    }
}

/// Ends a pipe's write side while its owner still holds the number: the number then means /dev/null.
private func shutdownWriteEnd(_ fd: Int32) {
    let null = open("/dev/null", O_RDWR)
    dup2(null, fd)
    close(null)
}
