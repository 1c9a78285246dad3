import Testing
import UrsaBase

@testable import UrsaModel

@Suite("Reading ursa.yaml")
struct SpecReaderTests {
    @Test("every valid fixture is read", arguments: fixtureTexts("valid").map(\.name))
    func validFixture(_ name: String) throws {
        let text = try File.readText("\(fixtures)/valid/\(name)")
        _ = try SpecReader.read(text, file: name)
    }
}
