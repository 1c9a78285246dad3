import Glibc
import TestSupport
import Testing
import UrsaBase

@testable import UrsaDisk

/// Requests that are done at the same time, against a model in memory.
@Suite struct RequestQueueTests {
    enum Kind: String, CaseIterable, Sendable { case raw, qcow2, overlay, subclusters }

    static let cases: [(Kind, RequestQueue.Engine)] = Kind.allCases.flatMap { kind in
        RequestQueue.Engine.allCases.map { (kind, $0) }
    }

    @Test(arguments: cases)
    func `many requests at once leave what the model says`(kind: Kind, engine: RequestQueue.Engine) throws {
        var random = Seeded(UInt64(Seeded.environment("URSA_SEED", 1)))
        let folder = try ScratchFolder()
        let size = 6 << 20
        var model = [UInt8](repeating: 0, count: size)
        let image = try makeImage(kind, folder, size, &model, &random)
        if engine == .ring, !RequestQueueTests.ringWorks() {
            print("skipped: io_uring is not allowed here")
            return
        }
        do {
            let queue = try RequestQueue(image, depth: 32, engine: engine)
            #expect(queue.engine == engine)
            // One buffer per request on its way, and requests that never overlap while they are.
            let unit = 16384
            var busy:
                [UInt64: (range: Range<Int>, buffer: AlignedBuffer, pieces: UnsafeMutablePointer<iovec>, isRead: Bool)] =
                    [:]
            var token: UInt64 = 0
            for round in 0..<1500 {
                let count = 512 * (1 + random.below(unit / 512))
                let offset = 512 * random.below((size - count) / 512)
                let range = offset..<offset + count
                while busy.count >= 24 || busy.values.contains(where: { $0.range.overlaps(range) }) {
                    try finishSome(queue, &busy, model)
                }
                let buffer = AlignedBuffer(count: unit)
                let pieces = UnsafeMutablePointer<iovec>.allocate(capacity: 2)
                let cut = random.below(count / 512) * 512
                pieces[0] = iovec(iov_base: buffer.base, iov_len: cut)
                pieces[1] = iovec(iov_base: buffer.base + cut, iov_len: count - cut)
                token += 1
                var request = DiskRequest(
                    .read, at: UInt64(offset), count: UInt64(count), pieces: pieces, pieceCount: 2, token: token)
                let what = random.below(20)
                switch what {
                case 0..<9:
                    let bytes = random.bytes(count)
                    memcpy(buffer.base, bytes, count)
                    model.replaceSubrange(range, with: bytes)
                    request.kind = .write
                case 9:
                    model.replaceSubrange(range, with: repeatElement(0, count: count))
                    request.kind = .zero(unmap: random.chance(1, in: 2))
                case 10 where kind == .raw:
                    model.replaceSubrange(range, with: repeatElement(0, count: count))
                    request.kind = .discard
                case 11: request.kind = .flush
                default: break
                }
                let isRead = if case .read = request.kind { true } else { false }
                busy[token] = (range, buffer, pieces, isRead)
                #expect(queue.add(request))
                if round % 5 == 0 { try queue.submit() }
            }
            while !busy.isEmpty { try finishSome(queue, &busy, model) }
        }
        var content = [UInt8](repeating: 1, count: size)
        try content.withUnsafeMutableBytes { try image.read(into: $0, at: 0) }
        #expect(content == model)
        try image.flush()
        try image.close()
        if let qcow2 = image as? Qcow2Image {
            let path = qcow2.name
            let reader = try Qcow2Image(file: try ImageFile(path), header: try Qcow2Header.read(try ImageFile(path)))
            #expect(try reader.check().isClean)
        }
    }

    private func finishSome(
        _ queue: RequestQueue,
        _ busy:
            inout [UInt64: (
                range: Range<Int>, buffer: AlignedBuffer, pieces: UnsafeMutablePointer<iovec>, isRead: Bool
            )],
        _ model: [UInt8]
    ) throws {
        var done: [DiskCompletion] = []
        try queue.complete(atLeast: 1) { done.append($0) }
        for item in done {
            #expect(item.error == nil)
            let removed = busy.removeValue(forKey: item.token)
            let entry = try #require(removed)
            if entry.isRead {
                #expect(model.holds(Array(entry.buffer.prefix(entry.range.count)), at: entry.range.lowerBound))
            }
            entry.pieces.deallocate()
        }
    }

    private func makeImage(
        _ kind: Kind, _ folder: ScratchFolder, _ size: Int, _ model: inout [UInt8], _ random: inout Seeded
    ) throws -> any DiskWriter {
        let file = try ImageFile.create(folder("disk"))
        if kind == .raw { return try RawImage.create(file, size: UInt64(size)) }
        var options = Qcow2CreateOptions(size: UInt64(size))
        options.clusterSize = kind == .subclusters ? 65536 : 4096
        options.extendedL2 = kind == .subclusters
        var backing: (any DiskReader)?
        if kind == .overlay {
            let content = random.bytes(size / 2)
            try File.replace(folder("base"), content)
            model.replaceSubrange(0..<content.count, with: content)
            backing = RawImage(file: try ImageFile(folder("base")))
            options.backingFile = "base"
            options.backingFormat = "raw"
        }
        return try Qcow2Image.create(file, options, backing: backing)
    }

    static func ringWorks() -> Bool {
        guard let folder = try? ScratchFolder(), let file = try? ImageFile.create(folder("x")) else { return false }
        return (try? RequestQueue(RawImage(file: file), depth: 1, engine: .ring)) != nil
    }

    @Test func `a request past the end of the disk fails and others go on`() throws {
        let folder = try ScratchFolder()
        let image = try Qcow2Image.create(try ImageFile.create(folder("disk")), Qcow2CreateOptions(size: 1 << 20))
        let queue = try RequestQueue(image)
        let buffer = AlignedBuffer(count: 4096)
        var piece = iovec(iov_base: buffer.base, iov_len: 4096)
        try withUnsafeMutablePointer(to: &piece) { pointer in
            for (token, offset) in [(1, UInt64(1) << 20), (2, 0), (3, UInt64.max - 100)] {
                #expect(
                    queue.add(
                        DiskRequest(
                            .read, at: offset, count: 4096, pieces: pointer, pieceCount: 1, token: UInt64(token))))
            }
            var results: [UInt64: Bool] = [:]
            while queue.inFlight > 0 { try queue.complete(atLeast: 1) { results[$0.token] = $0.error == nil } }
            #expect(results == [1: false, 2: true, 3: false])
        }
    }
}
