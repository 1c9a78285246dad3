import Glibc
import TestSupport
import Testing
import UrsaBase

@testable import UrsaDisk

/// A process that is killed with -9 in the middle of a change.
@Suite struct KillTests {
    /// Every write says its number; the numbers of what was flushed are noted in a file beside the image.
    static func work(_ path: String, killedAtChange number: Int, seed: UInt64) throws {
        var random = Seeded(seed)
        var options = ImageFile.Options(writable: true)
        let changes = Locked(0)
        options.observer = { _ throws(UrsaError) in
            let count = changes.withLock { count -> Int in
                count += 1
                return count
            }
            if count == number { kill(getpid(), SIGKILL) }
        }
        let file = try ImageFile(path, options)
        let image = try Qcow2Image(file: file, header: try Qcow2Header.read(file))
        var last = [UInt8](repeating: 0, count: 64)
        for step in 1..<10_000 {
            let cluster = random.below(64)
            try withBytes([UInt8](repeating: UInt8(step % 251 + 1), count: 4096)) { bytes throws(UrsaError) in
                try image.write(bytes, at: UInt64(cluster * 4096))
            }
            last[cluster] = UInt8(step % 251 + 1)
            switch random.below(12) {
            case 0, 1:
                try image.flush()
                try File.replace(path + ".flushed", last, durable: false)
            case 2:
                try image.createSnapshot(name: "s\(step)")
                try File.replace(path + ".flushed", last, durable: false)
            case 3:
                guard let first = try image.snapshots().first else { continue }
                try image.deleteSnapshot(first.id)
                try File.replace(path + ".flushed", last, durable: false)
            default: break
            }
        }
    }

    @Test func `kill -9 at any change of the file leaves what was flushed and at most leaks`() async throws {
        for number in [1, 3, 10, 25, 60, 110, 170, 240] {
            let folder = try ScratchFolder()
            let path = folder("disk")
            var options = Qcow2CreateOptions(size: 64 * 4096)
            options.clusterSize = 4096
            try Qcow2Image.create(try ImageFile.create(path), options).close()
            await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String, number = number as Int] in
                try KillTests.work(path, killedAtChange: number, seed: UInt64(number))
            }
            let file = try ImageFile(path, ImageFile.Options(writable: true))
            let image = try Qcow2Image(file: file, header: try Qcow2Header.read(file))
            let found = try image.check()
            #expect(found.isSound, "killed at change \(number): \(found)")
            // Each cluster holds what was flushed, or something that was written after that.
            let flushed = (try? File.read(path + ".flushed")) ?? [UInt8](repeating: 0, count: 64)
            let buffer = AlignedBuffer(count: 4096)
            for cluster in 0..<64 where flushed[cluster] != 0 {
                try image.read(into: buffer.prefix(4096), at: UInt64(cluster * 4096))
                let bytes = buffer.prefix(4096)
                #expect(
                    bytes[0] != 0 && bytes.allSatisfy { $0 == bytes[0] },
                    "killed at change \(number): cluster \(cluster) is \(bytes[0]), was \(flushed[cluster])")
            }
            _ = try image.check(repair: .leaks)
            #expect(try image.check().isClean)
            try image.close()
        }
    }
}
