import Testing
import UrsaBase

@testable import UrsaModel

@Suite("Writing specs")
struct RoundTripTests {
    @Test("every valid fixture reads back from its YAML and its JSON", arguments: fixtureTexts("valid").map(\.name))
    func fixture(_ name: String) throws {
        let spec = try SpecReader.read(File.readText("\(fixtures)/valid/\(name)"), file: name)
        #expect(try SpecReader.read(spec.yaml, file: name) == spec, "\(spec.yaml)")
        #expect(try Spec(json: JSON.parse(spec.json.text)) == spec)
    }

    @Test("specs of all shapes read back from their YAML and JSON")
    func random() throws {
        var random = Random(seed: 42)
        for _ in 0..<150 {
            let spec = RandomSpec.make(&random)
            #expect(spec.validate().isEmpty, "\(spec.validate())")
            #expect(try SpecReader.read(spec.yaml, file: "f") == spec, "\(spec.yaml)")
            #expect(try Spec(json: JSON.parse(spec.json.pretty)) == spec)
            for machine in spec.machines { #expect(try MachineSpec(json: machine.json) == machine) }
            for network in spec.networks { #expect(try NetworkSpec(json: network.json) == network) }
        }
    }

    @Test("every default is written out")
    func defaults() throws {
        let yaml = try SpecReader.read("machines: { web: { image: tiny } }", file: "f").yaml
        let expected = """
            networks:
              default:
                nat: {}
                placement: namespace
                ipv6: true
                start: on-demand
            machines:
              web:
                image: tiny
                cpus: 1
                memory: 512M
                networks:
                  - default
                publish: []
                restart: "no"
                engine: auto
                accelerator: auto
                stop-timeout: 30

            """
        #expect(yaml == expected)
    }

    @Test("the store's JSON may have members of a later version")
    func lenient() throws {
        let text = """
            {"name": "web", "image": "tiny", "colour": "blue", "networks": [{"lab": {"vlan": 7, "mac": "52:54:00:00:00:01"}}]}
            """
        let machine = try MachineSpec(json: JSON.parse(text))
        #expect(machine.networks == [NICSpec(network: "lab", mac: MACAddress("52:54:00:00:00:01"))])
        let network = try NetworkSpec(json: JSON.parse("{\"name\": \"lab\", \"user\": {\"x\": 1}, \"zone\": \"dmz\"}"))
        #expect(network == NetworkSpec(name: "lab", model: .user))
    }

    @Test(
        "the store's JSON is strict on types",
        arguments: [
            "[]", "null", "{}", "{\"name\": 5, \"image\": \"tiny\"}", "{\"name\": \"web\"}",
            "{\"name\": \"web\", \"image\": 5}", "{\"name\": \"web\", \"image\": \"tiny\", \"cpus\": \"2\"}",
            "{\"name\": \"web\", \"image\": \"tiny\", \"cpus\": 2.5}",
            "{\"name\": \"web\", \"image\": \"tiny\", \"cpus\": 0}",
            "{\"name\": \"web\", \"image\": \"tiny\", \"cpus\": null}",
            "{\"name\": \"web\", \"image\": \"tiny\", \"networks\": \"lab\"}",
            "{\"name\": \"web\", \"image\": \"tiny\", \"networks\": [5.5]}", "{\"name\": \"WEB\", \"image\": \"tiny\"}",
            "{\"name\": \"web\", \"image\": \"tiny\", \"memory\": true}", "{\"name\": \"web\", \"image\": {\"a\": 1}}",
            "{\"name\": \"web\", \"image\": \"tiny\", \"publish\": [{}]}",
            "{\"name\": \"web\", \"image\": \"tiny\", \"ready-port\": 70000}",
        ])
    func strict(_ text: String) throws {
        let json = try JSON.parse(text)
        #expect(throws: UrsaError.self) { try MachineSpec(json: json) }
    }

    @Test("texts that YAML would take for something else are quoted")
    func quotes() throws {
        let texts = [
            "yes", "no", "null", "~", "1", "1.5", "0x1f", "1:30", "1e3", "true", "a: b", "a #b", "#a", "- a", "", " a ",
            "a:",
            "'a'", "\"", "\\", "é", "{a}", "[a]", "*a", "&a", "!a", "%a", "@a", "`a", "|", ">", "?", "y",
            "a\u{7f}b\u{1}", "=",
            "<<", ".inf", "-", "--- a", "12:30:45", "0o7", "1_000", "+1", "2001-01-01", "a,b", "/a/b", "./a",
            "52:54:00:12:34:56",
        ]
        for text in texts {
            let yaml = YAMLWriter.text(
                .object([JSON.Member("k", .array([.string(text), .object([JSON.Member(text, "v")])]))]))
            var errors = ErrorList(file: "f")
            let tree = YAMLDocument.read(yaml, into: &errors, example: "")
            guard case .map(let pairs, _)? = tree, case .list(let items, _)? = pairs.first?.value, items.count == 2,
                case .scalar(let scalar) = items[0], case .map(let inner, _) = items[1]
            else {
                Issue.record("\(yaml) does not read back: \(errors.combined.map { "\($0)" } ?? "")")
                continue
            }
            if text.unicodeScalars.contains(where: isHarmful) { continue }
            #expect(scalar.text == text)
            #expect(scalar.meaning == .text, "\(yaml)")
            #expect(inner.first?.key.text == text)
        }
    }
}
