import TestSupport
import Testing
import UrsaBase

@testable import UrsaDisk

/// Random sequences of changes, against a model in memory and against QEMU. `URSA_SEED` begins at another number,
/// `URSA_SEQUENCES` runs more.
@Suite struct SequenceTests {
    static let first = Seeded.environment("URSA_SEED", 1)
    static let count = Seeded.environment("URSA_SEQUENCES", 100, slow: 600)

    @Test func `any sequence of changes leaves what the model says and a whole image`() throws {
        for seed in SequenceTests.first..<(SequenceTests.first + SequenceTests.count) {
            do throws(UrsaError) {
                try run(seed: UInt64(seed))
            } catch {
                Issue.record("URSA_SEED=\(seed) URSA_SEQUENCES=1: \(error)")
                return
            }
        }
    }

    private func run(seed: UInt64) throws(UrsaError) {
        var random = Seeded(seed)
        let image = SequenceImage(&random)
        let folder = try ScratchFolder()
        let runner = SequenceRunner(folder: folder, path: folder("disk"), image: image)
        // Every tenth sequence is shared with QEMU, which costs most of the time.
        let withQemu = QemuTools.areThere && random.chance(1, in: 10)
        if withQemu, random.chance(1, in: 2) {
            try image.makeByQemu(folder, runner.path)
        } else {
            try image.make(folder, runner.path)
        }
        var model = SequenceModel(image)
        var log: [String] = []
        do throws(UrsaError) {
            for round in 0..<(1 + random.below(3)) {
                if withQemu, round % 2 == 1 {
                    var steps: [SequenceStep] = []
                    for _ in 0..<(1 + random.below(12)) {
                        let step = model.step(&random, image, coarse: true)
                        steps.append(step)
                        log.append("qemu \(shortly(step))")
                        model.apply(step)
                    }
                    try runner.takeByQemu(steps)
                } else {
                    try ours(runner, &model, &random, &log)
                }
                let reader = try runner.open(writable: false)
                try runner.expect(reader, holds: model.content, "after round \(round)")
                let found = try reader.check()
                guard found.isClean else { throw UrsaError(.io, "our check: \(found)") }
                if withQemu { try runner.checkByQemu(model.content, "after round \(round)") }
            }
        } catch {
            throw UrsaError(.io, "\(error)\n\(image)\n\(log.joined(separator: "\n"))")
        }
    }

    private func ours(
        _ runner: SequenceRunner, _ model: inout SequenceModel, _ random: inout Seeded, _ log: inout [String]
    ) throws(UrsaError) {
        let opened = try runner.open(writable: true)
        let compressor = try Qcow2Compressor(opened.compression)
        for number in 0..<(1 + random.below(25)) {
            let step = model.step(&random, runner.image, coarse: false)
            log.append(shortly(step))
            try runner.take(step, opened, compressor)
            model.apply(step)
            if number % 8 == 7 { try runner.expect(opened, holds: model.content, "at \(log.count)") }
        }
        try opened.close()
    }

    private func shortly(_ step: SequenceStep) -> String {
        switch step {
        case .write(let offset, let bytes): "write \(offset) \(bytes.count)"
        case .compressed(let offset, let bytes): "compressed \(offset) \(bytes.count)"
        default: "\(step)"
        }
    }
}
