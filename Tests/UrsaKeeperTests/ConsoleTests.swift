import Glibc
import Testing
import UrsaBase

@testable import UrsaKeeper

@Suite(.enabled(if: qemu != nil, "qemu-system-x86_64 is not installed"))
struct ConsoleTests {
    @Test("several viewers see the same, and one that may only look can't type")
    func viewers() throws {
        let machine = try TestMachine("viewers")
        try machine.start()
        let client = try machine.client()
        let one = try client.console()
        let two = try client.console()
        let late = try client.console(.readOnly)
        for viewer in [one.raw, two.raw, late.raw] { #expect(viewer >= 0) }
        #expect(readUntil(one, "FIRST\r\n") == "FIRST\r\n")
        #expect(readUntil(two, "FIRST\r\n") == "FIRST\r\n")
        #expect(readUntil(late, "FIRST\r\n") == "FIRST\r\n")
        try late.writeAll(Array("silent".utf8), to: "the console")
        try one.writeAll(Array("ONE".utf8), to: "the console")
        #expect(readUntil(two, "ONE") == "ONE")
        #expect(readUntil(late, "ONE") == "ONE")
        let new = try client.console(.readOnly, replay: false)
        try two.writeAll(Array("TWO".utf8), to: "the console")
        #expect(readUntil(new, "TWO") == "TWO")
    }

    @Test("a flooding guest and a viewer that never reads leave memory and disk bounded and others served")
    func flood() throws {
        let machine = try TestMachine("flood")
        machine.launch.logLimit = 65536
        let status = try machine.start()
        let client = try machine.client()
        let stuck = try client.console()
        _ = readUntil(stuck, "FIRST\r\n")
        try stuck.writeAll(Array("f".utf8), to: "the console")
        let reader = try client.console(.readOnly, replay: false)
        var total = 0
        var buffer = [UInt8](repeating: 0, count: 65536)
        while total < 512 << 10 {
            guard case .bytes(let count) = receiveSome(reader.raw, into: &buffer) else { break }
            total += count
        }
        #expect(total >= 512 << 10)
        let sizes = ["console.log", "console.log.1"].map { File.status(machine.folder + "/" + $0)?.st_size ?? 0 }
        #expect(sizes.allSatisfy { $0 <= 65536 })
        let memory =
            File.peek("/proc/\(status.keeper?.pid ?? 0)/status")?.split(separator: "\n")
            .first { $0.hasPrefix("RssAnon") }?.split(separator: " ").compactMap { Int($0) }.first ?? Int.max
        #expect(memory < 4096, "the keeper's own memory is \(memory) KiB")
        // The stuck viewer gets what its socket held, is told what it missed, and goes on.
        #expect(readUntil(stuck, "bytes left out").contains("bytes left out"))
        #expect(try client.kill().reason == "killed on request")
    }
}

@Suite
struct ScrollbackLogTests {
    private func folder() throws -> TestMachine { try TestMachine("log") }

    private func all(_ log: ScrollbackLog, from position: UInt64) -> (UInt64, [UInt8]) {
        var bytes: [UInt8] = []
        var first: UInt64?
        var next = position
        while let (found, some) = log.read(at: next) {
            if let first, found != next { return (first, bytes) }
            first = first ?? found
            bytes += some
            next = found + UInt64(some.count)
        }
        return (first ?? position, bytes)
    }

    @Test("every byte can be read by its position, over rotations, and the two files stay in their limit")
    func positions() throws {
        let machine = try folder()
        let log = ScrollbackLog(machine.folder + "/c", limit: 8192, keep: false)
        var expected: [UInt8] = []
        for round in 0..<4000 {
            let piece = (0..<(round % 97 + 1)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ round) }
            log.append(piece[...])
            expected += piece
        }
        #expect(log.end == UInt64(expected.count))
        let (first, bytes) = all(log, from: log.start)
        #expect(first == log.start && expected.suffix(bytes.count) == bytes[...])
        #expect(bytes.count >= 16384 && bytes.count <= 32768)
        // Asking for what is gone gives what is left.
        #expect(all(log, from: 0).0 == log.start)
        for name in ["c", "c.1"] { #expect((File.status(machine.folder + "/" + name)?.st_size ?? 99999) <= 8192) }
    }

    @Test("a new keeper goes on with the files of the old one")
    func takeUp() throws {
        let machine = try folder()
        let path = machine.folder + "/c"
        let old = ScrollbackLog(path, limit: 4096, keep: false)
        old.append(Array("one ".utf8)[...])
        let new = ScrollbackLog(path, limit: 4096, keep: true)
        new.append(Array("two".utf8)[...])
        #expect(String(decoding: all(new, from: 0).1, as: UTF8.self) == "one two")
    }

    @Test("when the disk fails the newest bytes are still there, and writing goes on later")
    func diskTrouble() throws {
        let machine = try folder()
        let path = machine.folder + "/sub/c"
        let log = ScrollbackLog(path, limit: 4096, keep: false)
        #expect(log.trouble != nil)
        log.append(Array("kept in memory".utf8)[...])
        #expect(String(decoding: all(log, from: 0).1, as: UTF8.self) == "kept in memory")
        try File.makeDirectory(machine.folder + "/sub")
        pause(milliseconds: 1100)
        log.append(Array(" and on disk".utf8)[...])
        #expect(log.trouble == nil)
        #expect(try File.readText(path) == " and on disk")
        #expect(String(decoding: all(log, from: 0).1, as: UTF8.self) == "kept in memory and on disk")
    }
}
