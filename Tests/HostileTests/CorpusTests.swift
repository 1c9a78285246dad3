import Testing
import UrsaBase

/// The inputs that the fuzzers found worth keeping, and those that once broke something (`scripts/fuzz`).
private let corpus = Path.parent(Path.parent(Path.parent(#filePath))) + "/Fuzz/Corpus"

@Suite("Inputs of strangers")
struct CorpusTests {
    @Test("each parser holds its rules for every input kept for it", arguments: Entry.all.map(\.name))
    func replay(_ name: String) throws {
        let entry = try #require(Entry.all.first { $0.name == name })
        let files = File.list("\(corpus)/\(name)").sorted()
        #expect((1...40).contains(files.count), "\(files.count) inputs are kept for \(name)")
        for file in files {
            let bytes = try File.read("\(corpus)/\(name)/\(file)")
            #expect(bytes.count <= 4096, "\(name)/\(file) is large")
            do { try entry.run(bytes) } catch { Issue.record("\(name)/\(file): \(error)") }
        }
    }

    @Test("each parser holds its rules for damaged inputs", arguments: Entry.all.map(\.name))
    func damage(_ name: String) throws {
        let entry = try #require(Entry.all.first { $0.name == name })
        var random = SplitMix(seed: 0x5eed)
        for file in File.list("\(corpus)/\(name)").sorted().prefix(8) {
            let bytes = try File.read("\(corpus)/\(name)/\(file)")
            for _ in 0..<24 where !bytes.isEmpty {
                var changed = bytes
                changed[random.next(below: bytes.count)] = UInt8(random.next(below: 256))
                changed.removeLast(random.next(below: 2) * random.next(below: bytes.count))
                do { try entry.run(changed) } catch { Issue.record("\(name): \(error), with \(changed)") }
            }
        }
    }

    @Test(
        "each device model bears a driver that does anything",
        arguments: Entry.all.filter { $0.walk != nil }.map(\.name))
    func walk(_ name: String) throws {
        let entry = try #require(Entry.all.first { $0.name == name })
        do {
            // From pieces that `make campaign` does not begin with.
            _ = try Walk.run(entry, first: 1_000_000, steps: 1000)
        } catch { Issue.record("\(name): \(error)") }
    }

    @Test("the corpus has no folder without a parser")
    func folders() {
        #expect(Set(File.list(corpus)) == Set(Entry.all.map(\.name)))
    }
}
