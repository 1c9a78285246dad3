import Testing
import UrsaBase

@testable import UrsaModel

@Suite("Catalogues")
struct CatalogueTests {
    private static let sum = String(repeating: "0123456789abcdef", count: 4)

    private func errors(_ text: String) -> [UrsaError] {
        do throws(UrsaError) {
            _ = try Catalogue.read(text, file: "c.yaml")
            return []
        } catch { return error.flattened }
    }

    @Test("builders and URLs are read")
    func read() throws {
        let text = """
            images:
              tiny: { builder: tiny, description: "small: quick" }
              "debian:12": { builder: debian, ready-port: 22, user: root, format: raw }
              foo: { url: https://images.example/foo.qcow2 }
              bar-1.2_x:
                url: http://[fd00::1]:8080/bar?x=1&y=2
                sha256: \(Self.sum.uppercased())
            """
        let catalogue = try Catalogue.read(text, file: "c.yaml")
        #expect(catalogue.entries.map(\.name) == ["tiny", "debian:12", "foo", "bar-1.2_x"])
        #expect(catalogue["tiny"]?.source == .builder("tiny"))
        #expect(catalogue["tiny"]?.description == "small: quick")
        #expect(catalogue["debian:12"]?.readyPort == 22)
        #expect(catalogue["debian:12"]?.format == .raw)
        #expect(catalogue["foo"]?.source == .url("https://images.example/foo.qcow2", sha256: nil))
        #expect(catalogue["bar-1.2_x"]?.source == .url("http://[fd00::1]:8080/bar?x=1&y=2", sha256: Self.sum))
        #expect(catalogue["nothing"] == nil)
        #expect(try Catalogue.read(catalogue.yaml, file: "again") == catalogue)
    }

    @Test("a checksum of digits alone is a text, not a number")
    func digits() throws {
        let digits = String(repeating: "12345678", count: 8)
        let catalogue = try Catalogue.read("images: { a: { url: 'http://h/a', sha256: \(digits) } }", file: "c")
        #expect(catalogue["a"]?.source == .url("http://h/a", sha256: digits))
        #expect(try Catalogue.read(catalogue.yaml, file: "again") == catalogue)
    }

    @Test("the built-in catalogue has the demo's images and names no server")
    func builtIn() throws {
        #expect(Catalogue.builtIn.entries.map(\.name) == ["tiny", "debian:12"])
        #expect(try Catalogue.read(Catalogue.builtIn.yaml, file: "built-in") == Catalogue.builtIn)
        #expect(!Catalogue.builtIn.yaml.contains("://"))
    }

    @Test("merging replaces by name and adds the rest")
    func merging() {
        let mine = Catalogue(entries: [
            CatalogueEntry(name: "debian:12", source: .url("https://h/d", sha256: nil)),
            CatalogueEntry(name: "own", source: .builder("own")),
        ])
        let merged = Catalogue.builtIn.merging(mine)
        #expect(merged.entries.map(\.name) == ["tiny", "debian:12", "own"])
        #expect(merged["debian:12"]?.source == .url("https://h/d", sha256: nil))
    }

    @Test(
        "wrong catalogues",
        arguments: [
            ("", "1:1", "the file is empty"),
            ("[]", "1:1", "the file is a list"),
            ("{}", "1:1", "needs `images`"),
            ("images:", "1:8", "`images` wants a map"),
            ("image: {}", "1:1", "did you mean `images`?"),
            ("images: { Debian: { builder: x } }", "1:11", "can't be an image name"),
            ("images: { 'a:b:c': { builder: x } }", "1:11", "can't be an image name"),
            ("images: { ../x: { builder: x } }", "1:11", "can't be an image name"),
            ("images: { a: tiny }", "1:14", "an image wants a map"),
            ("images: { a: {} }", "1:11", "comes from nowhere"),
            ("images: { a: { builder: x, url: 'https://h/x' } }", "1:11", "both a builder and a URL"),
            ("images: { a: { builder: X } }", "1:25", "can't be a builder name"),
            ("images: { a: { builder: '../x' } }", "1:25", "can't be a builder name"),
            ("images: { a: { builder: x, sha256: \(sum) } }", "1:11", "is built, so it has no checksum"),
            ("images: { a: { url: 'http://h/x' } }", "1:11", "comes over http"),
            ("images: { a: { url: 'ftp://h/x' } }", "1:21", "is no URL of https or http"),
            ("images: { a: { url: 'file:///etc/shadow' } }", "1:21", "is no URL of https or http"),
            ("images: { a: { url: 'https:///x' } }", "1:21", "names no host"),
            ("images: { a: { url: 'https://:80/x' } }", "1:21", "names no host"),
            ("images: { a: { url: 'https://me:secret@h/x' } }", "1:21", "holds a user or a password"),
            ("images: { a: { url: 'https://h/a b' } }", "1:21", "is no URL"),
            ("images: { a: { url: '-o/etc/passwd' } }", "1:21", "is no URL"),
            ("images: { a: { url: 'https://h/x', sha256: abc } }", "1:44", "this has 3"),
            (
                "images: { a: { url: 'https://h/x', sha256: \(String(repeating: "g", count: 64)) } }", "1:44",
                "is no SHA-256"
            ),
            ("images: { a: { builder: x, format: vmdk } }", "1:36", "it can be `qcow2` or `raw`"),
            ("images: { a: { builder: x, ready-port: 0 } }", "1:40", "there is no port 0"),
            ("images: { a: { builder: x, user: 'root;id' } }", "1:34", "can't be a user"),
            ("images: { a: { builder: x, user: 0 } }", "1:34", "`user` wants a text"),
            ("images: { a: { builder: x, checksum: y } }", "1:28", "did you mean `sha256`?"),
            ("images: { a: { builder: x }, a: { builder: y } }", "1:30", "`a` stands twice"),
            ("images: { a: { builder: x, description: \"a\\nb\" } }", "1:41", "too long"),
        ])
    func wrong(_ text: String, _ place: String, _ words: String) {
        let found = errors(text)
        #expect(found.contains { $0.place == "c.yaml:\(place)" && $0.description.contains(words) }, "\(found)")
        #expect(found.count <= 2)
        #expect(found.allSatisfy { $0.code == .invalidSpec })
    }
}
