import TestSupport
import Testing
import UrsaBase

@testable import UrsaDisk

/// The power fails at every write: what was flushed is there, the image opens, and clusters leak at most.
@Suite struct PowerLossTests {
    static let first = Seeded.environment("URSA_SEED", 1)
    static let count = Seeded.environment("URSA_POWER_CUTS", 4, slow: 15)

    @Test func `whatever write the power fails at, flushed data is there and clusters leak at most`() throws {
        for seed in PowerLossTests.first..<(PowerLossTests.first + PowerLossTests.count) {
            do throws(UrsaError) {
                try run(seed: UInt64(seed))
            } catch {
                Issue.record("URSA_SEED=\(seed) URSA_POWER_CUTS=1: \(error)")
                return
            }
        }
    }

    /// Images in memory: small clusters, so that tables grow and every kind of table is written often.
    private func run(seed: UInt64) throws(UrsaError) {
        var random = Seeded(seed)
        var options = Qcow2CreateOptions(size: UInt64(512 * (1 + random.below(160))))
        options.clusterSize = random.pick([512, 512, 1024, 4096, 16384])
        options.refcountBits = random.pick([4, 8, 16, 64])
        options.extendedL2 = options.clusterSize == 16384 && random.chance(1, in: 2)
        let log = WriteLog()
        let file = ImageFile(bytes: [], name: "disk", log.options)
        var cache = Qcow2Image.Options()
        cache.l2CacheSize = 8192
        cache.refcountCacheSize = 8192
        let image = try Qcow2Image.create(file, options, options: cache)
        let created = log.all.count

        // Versions of each byte: what it held at the last flush, and all that it was given since.
        let made = SequenceImage(options)
        var model = SequenceModel(made)
        log.append(.flushed(model.content))
        var history: [(at: Int, step: SequenceStep, before: [UInt8], after: [UInt8])] = []
        let compressor = try Qcow2Compressor(.zlib)
        let runner = SequenceRunner(folder: try ScratchFolder(), path: "disk", image: made)
        for _ in 0..<(6 + random.below(14)) {
            let step = model.step(&random, made, coarse: false)
            let before = model.content
            let at = log.all.count
            try runner.take(step, image, compressor)
            model.apply(step)
            history.append((at, step, before, model.content))
            switch step {
            case .flush, .snapshot, .apply, .delete, .resize:
                // All of these return with everything before them on the disk.
                log.append(.flushed(model.content))
            default: break
            }
        }
        try image.close()
        log.append(.flushed(model.content))
        try judge(log.all, from: created, history, &random)
    }

    private func judge(
        _ changes: [WriteLog.Change], from created: Int,
        _ history: [(at: Int, step: SequenceStep, before: [UInt8], after: [UInt8])], _ random: inout Seeded
    ) throws(UrsaError) {
        // Everything up to the last barrier is there for sure; of what follows, anything.
        var sure = DiskState(bytes: [])
        var pending: [WriteLog.Change] = []
        var flushed: (content: [UInt8], at: Int) = ([], 0)
        for (index, change) in changes.enumerated() {
            switch change {
            case .sync:
                for item in pending { sure.apply(item) }
                pending = []
            case .flushed(let content): flushed = (content, index)
            default: pending.append(change)
            }
            guard index >= created, !flushed.content.isEmpty else { continue }
            let since = history.filter { $0.at >= flushed.at && $0.at <= index }
            func look(_ state: DiskState, _ how: String) throws(UrsaError) {
                do throws(UrsaError) {
                    try open(state.bytes, flushed.content, since.map { ($0.before, $0.after) })
                } catch {
                    throw UrsaError(
                        .io,
                        "power fails after change \(index) of \(changes.count), \(how): \(error)\n"
                            + "since the flush: \(since.map { "\($0.step)".prefix(80) })\n"
                            + history.map { "\($0.at): \("\($0.step)".prefix(60))" }.joined(separator: "\n"))
                }
            }
            try look(sure, "all since the barrier lost")
            var whole = sure
            for item in pending { whole.apply(item) }
            try look(whole, "nothing lost")
            for _ in 0..<2 {
                var torn = sure
                for item in pending {
                    switch random.below(3) {
                    case 0: torn.apply(item)
                    case 1: torn.tear(item, &random)
                    default: break
                    }
                }
                try look(torn, "some since the barrier lost or torn")
            }
            if pending.count > 1 {
                // Any order among those between two barriers.
                var shuffled = sure
                for item in pending.shuffled(using: &random) where random.chance(3, in: 4) { shuffled.apply(item) }
                try look(shuffled, "in another order")
            }
        }
    }

    private func open(
        _ bytes: [UInt8], _ flushed: [UInt8], _ since: [(before: [UInt8], after: [UInt8])]
    ) throws(UrsaError) {
        let file = ImageFile(bytes: bytes, name: "disk", ImageFile.Options(writable: true))
        let image = try Qcow2Image(file: file, header: try Qcow2Header.read(file))
        defer { image.abandon() }
        let found = try image.check()
        guard found.isSound else { throw UrsaError(.io, "check: \(found)") }
        for snapshot in try image.snapshots() { _ = snapshot.name }
        // A change of the size, or of everything at once, either happened or not.
        var content = [UInt8](repeating: 0, count: Int(image.size))
        let failure: UrsaError? = content.withUnsafeMutableBytes { buffer in
            do throws(UrsaError) { try image.read(into: buffer, at: 0) } catch { return error }
            return nil
        }
        if let failure { throw failure }
        let versions = [flushed] + since.flatMap { [$0.before, $0.after] }
        let fitting = versions.filter { $0.count == content.count }
        guard !fitting.isEmpty else { throw UrsaError(.io, "the disk has \(content.count) bytes") }
        // Nothing more is to be said of a piece that is as it was at the flush.
        for start in stride(from: 0, to: content.count, by: 512) {
            let piece = start..<min(start + 512, content.count)
            if flushed.count == content.count, content.holds(flushed, in: piece) { continue }
            try judge(content, piece, flushed, versions, fitting)
        }
    }

    private func judge(
        _ content: [UInt8], _ piece: Range<Int>, _ flushed: [UInt8], _ versions: [[UInt8]], _ fitting: [[UInt8]]
    ) throws(UrsaError) {
        for index in piece {
            // In pieces not smaller than a sector a write may be there in part: each byte is of some version.
            guard fitting.contains(where: { $0[index] == content[index] }) else {
                throw UrsaError(
                    .io,
                    "byte \(index) is \(content[index]), never written since, "
                        + (index < flushed.count ? "\(flushed[index]) when flushed" : "not there when flushed"))
            }
            // What nobody changed since the flush is as it was then.
            guard index < flushed.count, content[index] != flushed[index] else { continue }
            guard versions.contains(where: { index < $0.count && $0[index] != flushed[index] }) else {
                throw UrsaError(.io, "byte \(index) changed though nobody wrote it")
            }
        }
    }
}
