import Glibc
import Testing
import UrsaBase

/// Image verbs that are killed in the middle.
@Suite(.enabled(if: DiskWorkshop.hasQEMU, "needs qemu-img and qemu-io"))
struct InterruptedTests {
    /// Starts `ursa image …` and ends it after some milliseconds; whether that came in time.
    private func interrupt(_ shop: DiskWorkshop, _ words: [String], after delay: UInt32, with signal: Int32) throws
        -> Bool
    {
        var program = Program(CommandRunner.binary, ["image"] + words)
        program.directory = shop.folder
        let child = try program.start()
        pause(milliseconds: delay)
        child.signal(signal)
        return try child.wait() != .exited(0)
    }

    @Test(
        "A conversion that is killed leaves no half image, and what was there before",
        arguments: [SIGKILL, SIGINT, SIGTERM])
    func convert(_ signal: Int32) throws {
        let shop = try DiskWorkshop()
        try shop.raw("a.raw", size: 64 << 20, seed: 3)
        let before = try File.read(shop.path("a.raw"), limit: 1 << 30)
        try File.replace(shop.path("b.qcow2"), Array("what was there".utf8))
        var killed = 0
        for round in 0..<12 {
            let words = ["convert", "-r", "20M", "-f", "raw", "-O", "qcow2", "a.raw", "b.qcow2"]
            if try interrupt(shop, words, after: UInt32(5 + round * 25), with: signal) { killed += 1 }
            if signal != SIGKILL { #expect(shop.unfinished == []) }
            #expect(try File.readText(shop.path("b.qcow2")) == "what was there")
        }
        #expect(killed == 12)
        #expect(try File.read(shop.path("a.raw"), limit: 1 << 30) == before)
    }

    @Test("A commit that is killed loses nothing: the top reads as before, at any moment")
    func commit() throws {
        for round in 0..<8 {
            let shop = try DiskWorkshop()
            try shop.raw("base", size: 32 << 20, seed: 4)
            try shop.make("create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "top")
            try shop.io("qcow2", "top", "write -P 1 1M 10M", "write -z 12M 1M", "write -P 2 20M 8M")
            try shop.make("convert", "-O", "raw", "top", "wanted")
            let words = round < 4 ? ["commit", "-r", "40M", "top"] : ["commit", "top"]
            _ = try interrupt(shop, words, after: UInt32(3 + round * 20), with: SIGKILL)
            let check = try shop.qemu(["check", "-f", "qcow2", "top"])
            #expect([.exited(0), .exited(3)].contains(check.end), "\(check.text)\(check.errors)")
            try shop.expectSame("wanted", "raw", "top", "qcow2")
            try shop.make("commit", "top")
            try shop.expectSame("wanted", "raw", "base", "raw")
        }
    }

    @Test("A change of size that is killed leaves the old size or the new one, and the data")
    func resize() throws {
        let shop = try DiskWorkshop()
        for round in 0..<8 {
            try shop.raw("a.raw", size: 16 << 20, seed: 5)
            try shop.make("convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k", "a.raw", "a.qcow2")
            let words =
                round % 2 == 0
                ? ["resize", "--preallocation=metadata", "a.qcow2", "2G"] : ["resize", "--shrink", "a.qcow2", "8M"]
            _ = try interrupt(shop, words, after: UInt32(3 + round * 6), with: SIGKILL)
            let check = try shop.qemu(["check", "-f", "qcow2", "a.qcow2"])
            #expect([.exited(0), .exited(3)].contains(check.end), "\(check.text)\(check.errors)")
            let length = min(8 << 20, 16 << 20)
            try shop.qemu("dd", "-f", "qcow2", "-O", "raw", "bs=1M", "count=8", "if=a.qcow2", "of=part")
            #expect(try File.read(shop.path("part")).prefix(length) == File.read(shop.path("a.raw")).prefix(length))
        }
    }
}
