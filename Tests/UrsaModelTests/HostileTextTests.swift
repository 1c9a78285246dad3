import Glibc
import Testing
import UrsaBase

@testable import UrsaModel

/// Texts that are better made than stored: odd bytes, great size, deep nesting.
@Suite("Hostile texts")
struct HostileTextTests {
    static let characters: [(name: String, text: String, place: String, words: String)] = [
        ("nothing", "", "1:1", "the file is empty"),
        ("blanks", "   \n\n  \n", "1:1", "the file is empty"),
        ("a comment", "# nothing\n", "1:1", "the file is empty"),
        ("a byte order mark alone", "\u{feff}", "1:1", "the file is empty"),
        ("a byte order mark inside", "machines:\n  \u{feff}web: { image: tiny }\n", "2:3", "U+FEFF"),
        ("NUL", "machines:\n  we\0b: {}\n", "2:5", "U+0000"),
        ("an escape sequence", "# \u{1b}[2J\nmachines: {}\n", "1:3", "U+001B"),
        ("DEL", "machines: {}\u{7f}\n", "1:13", "U+007F"),
        ("a C1 control", "machines: {}\u{9b}\n", "1:13", "U+009B"),
        ("next line", "machines: {}\u{85}networks: {}\n", "1:13", "U+0085"),
        ("a line separator", "machines: {}\u{2028}networks: {}\n", "1:13", "U+2028"),
        ("text turned around", "machines: {} # \u{202e}tpircs\n", "1:16", "U+202E"),
        ("bytes that were not UTF-8", "machines:\n  w\u{fffd}b: {}\n", "2:4", "not UTF-8"),
        ("a noncharacter", "machines: {} # \u{1fffe}\n", "1:16", "U+1FFFE"),
        ("a lone carriage return", "machines: {}\rnetworks: {}\n", "1:13", "carriage return without"),
        ("a carriage return at the end", "machines: {}\r", "1:13", "carriage return without"),
        ("a tab before a key", "machines:\n  web:\n\t\timage: tiny\n", "3:1", "a tab where blanks belong"),
        ("a document end and more", "machines: {}\n...\nnetworks: {}\n", "3:1", "follows the end of the document"),
    ]

    @Test("characters that must not be there are found where they stand", arguments: characters.indices)
    func character(_ index: Int) {
        let (name, text, place, words) = Self.characters[index]
        let found = errors(text)
        #expect(found.count == 1, "\(name): \(found)")
        #expect(found.first?.place == "f.yaml:\(place)", "\(name)")
        #expect(found.first?.message.contains(words) == true, "\(name): \(found)")
    }

    @Test("bytes that are not UTF-8 are refused with their line")
    func notUTF8() {
        let bytes = Array("machines:\n  web: { image: ".utf8) + [0xc3, 0x28] + Array(" }\n".utf8)
        #expect {
            try SpecReader.read(bytes, file: "f.yaml")
        } throws: { error in
            (error as? UrsaError)?.place == "f.yaml:2:1"
        }
        #expect(throws: UrsaError.self) { try SpecReader.read([0xff, 0xfe, 0x6d, 0x00], file: "f.yaml") }
        #expect(throws: Never.self) { try SpecReader.read(Array("machines: {}".utf8), file: "f.yaml") }
    }

    @Test("a file over 1 MiB is refused before it is parsed")
    func size() {
        let found = errors("machines: {} #" + String(repeating: "x", count: 1 << 20))
        #expect(found.first?.message.contains("larger than 1.0 MiB") == true)
    }

    /// Texts that take a parser's stack, time or memory, and a word of the error that must come instead.
    static let bombs: [(name: String, text: String, words: String)] = [
        ("100,000 brackets", String(repeating: "[", count: 100_000), "nested too deeply"),
        ("100,000 braces", String(repeating: "{a: ", count: 100_000), "nested too deeply"),
        ("100,000 hyphens", String(repeating: "- ", count: 100_000), "nested too deeply"),
        ("100,000 question marks", String(repeating: "? ", count: 100_000), "keys that may be lists"),
        (
            "many deep keys", String(repeating: "- " + String(repeating: "? ", count: 400) + "a\n", count: 1000),
            "keys that may"
        ),
        ("64 brackets", String(repeating: "[", count: 64) + String(repeating: "]", count: 64), "nested too deeply"),
        ("990 brackets", String(repeating: "[", count: 990) + String(repeating: "]", count: 990), "nested too deeply"),
        ("990 levels of indentation", staircase(990), "nested too deeply"),
        ("a billion laughs", laughs(40, end: "machines: *a39\n"), "more than 50000 values"),
        ("a billion laughs as a key", laughs(40, end: "? *a39\n: x\n"), "aliases (`*name`) together with a key"),
        ("a billion laughs in a key", laughs(40, end: "? [*a39]\n: x\n"), "aliases (`*name`) together with a key"),
        ("a billion laughs as a flow key", laughs(40, end: "machines: { [*a39]: x }\n"), "aliases (`*name`) together"),
        (
            "a billion laughs behind a quote", laughs(40, end: "machines: [\"\n# \", {? *a39 : x}]\n"),
            "aliases (`*name`) together"
        ),
        ("300,000 items", "machines: [" + String(repeating: "1,", count: 300_000) + "1]", "more than 50000 values"),
        ("100,000 keys", (0..<100_000).map { "k\($0):\n" }.joined(), "more than 50000 values"),
        ("a million letters", "machines: " + String(repeating: "m", count: 1_000_000), "wants a map"),
        (
            "20,000 machines with faults", "machines:\n" + (0..<20_000).map { "  m\($0): { imag: x }\n" }.joined(),
            "did you mean"
        ),
        (
            "one key 10,000 times", "machines:\n" + String(repeating: "  a: { image: tiny }\n", count: 10_000),
            "stands twice"
        ),
        (
            "long lines of one letter's keys", "machines: {" + (0..<3000).map { "a\($0): 1," }.joined() + "}",
            "wants a map"
        ),
    ]

    /// Processor time of this thread: other work on the machine must not make a test fail.
    private func processorSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private static func staircase(_ levels: Int) -> String {
        (0..<levels).map { String(repeating: " ", count: $0) + "a:\n" }.joined()
    }

    private static func laughs(_ levels: Int, end: String) -> String {
        "a: &a0 [x, x]\n" + (1..<levels).map { "b\($0): &a\($0) [*a\($0 - 1), *a\($0 - 1)]\n" }.joined() + end
    }

    @Test(
        "a text made to eat stack, time or memory gives an error", .timeLimit(.minutes(120)), arguments: bombs.indices)
    func bomb(_ index: Int) {
        let (name, text, words) = Self.bombs[index]
        let start = processorSeconds()
        let found = errors(text)
        #expect(found.contains { $0.description.contains(words) }, "\(name): \(found.prefix(5))")
        #expect(found.count <= ErrorList.limit + 1, "\(name)")
        // Generous for a debug build on a slow machine; the worst takes about four seconds.
        #expect(processorSeconds() - start < 30, "\(name)")
    }

    @Test(
        "cutting a valid file anywhere, or changing any byte of it, never crashes",
        arguments: ["everything", "networks"])
    func mutations(_ name: String) throws {
        let text = try File.readText("\(fixtures)/valid/\(name).yaml")
        let bytes = Array(text.utf8)
        var random = Random(seed: 7)
        for round in 0..<1500 {
            var changed = bytes
            if round % 3 == 0 {
                changed.removeLast(random.next(below: bytes.count))
            } else {
                for _ in 0...random.next(below: 3) {
                    let index = random.next(below: changed.count)
                    let choice = Array("{}[]:,-?&*!|>'\"%@` \n\t#09/.ax~\\".utf8)
                    changed[index] = choice[random.next(below: choice.count)]
                }
            }
            do throws(UrsaError) {
                let spec = try SpecReader.read(changed, file: "f.yaml")
                #expect(spec.validate().isEmpty)
            } catch {
                for each in error.flattened {
                    #expect(each.code == .invalidSpec)
                    #expect(each.place?.hasPrefix("f.yaml:") == true, "\(each)")
                }
            }
        }
    }
}

/// A generator that gives the same numbers in every run (Knuth's MMIX constants).
struct Random {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next(below limit: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(max(1, limit)))
    }
    mutating func chance(_ percent: Int) -> Bool { next(below: 100) < percent }
}
