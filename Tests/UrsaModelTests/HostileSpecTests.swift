import Testing
import UrsaBase

@testable import UrsaModel

/// A file that must be refused. Its first lines, `#! LINE:COLUMN WORDS`, say every error it must give.
struct HostileFile: Sendable, CustomTestStringConvertible {
    let name: String
    let text: String
    let expected: [(place: String, words: String)]
    var testDescription: String { name }

    static let all: [HostileFile] = fixtureTexts("hostile").map { name, text in
        let heads = text.split(separator: "\n").prefix { $0.hasPrefix("#! ") }
        let expected = heads.map { line in
            let parts = line.dropFirst(3).split(separator: " ", maxSplits: 1).map(String.init)
            return (place: parts.first ?? "", words: parts.count > 1 ? parts[1] : "")
        }
        return HostileFile(name: name, text: text, expected: expected)
    }
}

@Suite("Hostile specs")
struct HostileSpecTests {
    @Test("the corpus is there")
    func corpus() {
        #expect(HostileFile.all.count >= 200)
        for file in HostileFile.all { #expect(!file.expected.isEmpty, "\(file.name) says no error") }
    }

    @Test("each file gives exactly the errors it names, each with its place", arguments: HostileFile.all)
    func file(_ file: HostileFile) {
        let found = errors(file.text)
        let report = found.map { "\($0)" }.joined(separator: "\n")
        #expect(found.count == file.expected.count, "\(report)")
        for expected in file.expected {
            let isThere = found.contains {
                $0.place == "f.yaml:\(expected.place)" && $0.description.contains(expected.words)
            }
            #expect(isThere, "\(expected.place) \(expected.words) is missing in:\n\(report)")
        }
        for error in found {
            #expect(error.code == .invalidSpec)
            #expect(!error.message.unicodeScalars.contains(where: isHarmful), "\(error.message)")
        }
    }
}
