import Testing
import UrsaBase

@testable import UrsaModel

@Suite("JSON Schema")
struct SchemaTests {
    @Test("the schema's keys are the reader's keys, all described")
    func keys() throws {
        let schema = SpecSchema.json
        let definitions = try #require(schema["$defs"])
        let network = try #require(definitions["network"]?["anyOf"]?.array?.last)
        func check(_ schema: JSON?, _ keys: [String]) {
            let members = schema?["properties"]?.members ?? []
            #expect(members.map(\.name) == keys)
            for member in members { #expect(member.value["description"]?.string?.isEmpty == false, "\(member.name)") }
            #expect(schema?["additionalProperties"] == .bool(false))
        }
        check(schema, SpecFields.all.map(\.key))
        check(network, NetworkFields.all.map(\.key))
        check(definitions["machine"], MachineFields.all.map(\.key))
        check(definitions["card"], CardFields.all.map(\.key))
        check(definitions["uplink"], UplinkFields.all.map(\.key))
        check(definitions["zone"]?["anyOf"]?.array?.last, ZoneFields.all.map(\.key))
        check(definitions["policy"], PolicyFields.all.map(\.key))
        check(definitions["rule"], RuleFields.all.map(\.key))
        check(definitions["forward"], ForwardFields.all.map(\.key))
    }

    @Test("the reference in docs/spec.md tells every key, and no other")
    func reference() throws {
        let text = try File.readText(Path.parent(fixtures) + "/../../docs/spec.md")
        for field in SpecFields.all { #expect(text.contains("\n## \(field.key)\n")) }
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `") }
        let told = rows.compactMap { $0.split(separator: "`").dropFirst().first.map(String.init) }
        let network =
            NetworkFields.all.map(\.key) + NetworkSpec.Model.allCases.flatMap { ModelFields.options($0).map(\.key) }
        let firewall =
            ZoneFields.all.map(\.key) + PolicyFields.all.map(\.key) + RuleFields.all.map(\.key)
            + ForwardFields.all.map(\.key)
        let uplink = UplinkFields.all.map(\.key) + CheckFields.all.map(\.key)
        let machine = MachineFields.all.map(\.key) + CardFields.all.map(\.key)
        let keys = network + firewall + uplink + machine + EntryFields.all.map(\.key)
        #expect(Set(told) == Set(keys))
    }

    @Test(
        "every valid fixture, and what `ursa config` makes of it, is valid",
        arguments: fixtureTexts("valid").map(\.name))
    func valid(_ name: String) throws {
        let text = try File.readText("\(fixtures)/valid/\(name)")
        let instance = try json(text)
        let schema = SpecSchema.json
        #expect(SmallValidator(schema).faults(instance) == [])
        #expect(SmallValidator(schema).faults(try SpecReader.read(text, file: name).json) == [])
    }

    @Test("specs of all shapes are valid")
    func random() {
        var random = Random(seed: 3)
        let validator = SmallValidator(SpecSchema.json)
        for _ in 0..<50 { #expect(validator.faults(RandomSpec.make(&random).json) == []) }
    }

    /// Hostile fixtures whose fault is one of form, so an editor can show it.
    static let malformed = [
        "machine-unknown-key", "machine-cpus-zero", "machine-cpus-many", "machine-cpus-quoted", "machine-cpus-fraction",
        "machine-memory-fraction", "machine-memory-map", "machine-restart-word", "machine-engine-word",
        "machine-accelerator-word", "machine-ready-port-zero", "machine-networks-text", "machine-networks-two-names",
        "machine-networks-unknown-option", "machine-networks-many", "machine-publish-text", "machine-publish-transport",
        "machine-publish-number", "machine-no-image", "machine-image-number", "machine-image-empty", "machine-text",
        "machine-ssh-text", "machine-ssh-dss", "machine-kernel-arguments-empty", "name-upper", "name-localhost",
        "name-long",
        "name-network-long", "network-two-models", "network-no-model", "network-word", "network-later-switch",
        "network-nat-options", "network-subnet-large", "network-subnet-small", "network-subnet-no-prefix",
        "network-subnet6-48", "network-ipv6-quoted", "network-start-word", "network-mtu-small", "network-mtu-text",
        "model-bridged-fallback-nat", "model-proxy-in-nat", "model-proxy-without-routed", "model-isolated-option",
        "model-uplinks-text", "model-placement-word", "interface-long", "interface-slash", "interface-quote",
        "interface-list", "uplink-text", "uplink-list", "uplink-no-interface", "uplink-unknown-key",
        "uplink-gateway-text",
        "uplink-gateway-prefix", "uplink-weight-large", "uplink-weight-negative", "uplink-fallback-yes",
        "uplink-check-text", "uplink-check-target", "uplink-check-threshold", "uplink-check-unknown",
        "uplink-name-upper",
        "zone-named-host", "zone-named-any", "zone-text", "zone-list-of-maps", "zone-unknown-key", "policy-map",
        "policy-text", "policy-no-action", "policy-action-allow", "policy-log-true", "rule-port-zero",
        "rule-port-large",
        "rule-port-colon", "rule-port-name", "rule-proto", "rule-source-name", "rule-limit-form", "rule-limit-unit",
        "forward-no-port", "forward-no-machine", "forward-machine-port", "forward-port-list", "forward-proto-icmp",
        "admin-name", "admin-text", "card-address6-text", "card-rate-text", "card-rate-bytes", "card-rate-small",
        "card-rate-empty", "card-rate-word", "card-isolated-word", "card-mtu-small", "file-empty-map",
        "file-unknown-key", "file-machines-list", "address-prefix",
    ]

    @Test("faults of form are faults by the schema too", arguments: malformed)
    func hostile(_ name: String) throws {
        let instance = try json(File.readText("\(fixtures)/hostile/\(name).yaml"))
        #expect(SmallValidator(SpecSchema.json).faults(instance) != [])
    }

    private static let python = Path.program("python3")
    private static let hasValidator =
        (try? Program("python3", ["-c", "import jsonschema"]).run(seconds: 30).end.isSuccess) ?? false

    @Test(
        "the schema is one by Draft 2020-12, and python3-jsonschema agrees on valid and malformed files",
        .enabled(if: hasValidator, "python3 has no module jsonschema here"))
    func agreement() throws {
        var instances: [JSON] = []
        for (name, text) in fixtureTexts("valid") {
            instances.append(["name": .string(name), "valid": true, "value": try json(text)])
        }
        for name in Self.malformed {
            let value = try json(File.readText("\(fixtures)/hostile/\(name).yaml"))
            instances.append(["name": .string(name), "valid": false, "value": value])
        }
        let script = """
            import json, sys, jsonschema
            data = json.load(sys.stdin)
            validator = jsonschema.Draft202012Validator
            validator.check_schema(data["schema"])
            for instance in data["instances"]:
                if validator(data["schema"]).is_valid(instance["value"]) != instance["valid"]:
                    print(instance["name"])
            """
        let input: JSON = ["schema": SpecSchema.json, "instances": .array(instances)]
        let result = try Program("python3", ["-c", script]).run(input: Array(input.text.utf8), seconds: 60)
        #expect(result.end.isSuccess, "\(result.errors)")
        #expect(result.text == "", "they differ on these")
    }

    /// A YAML text as an editor's parser sees it: scalars by the core schema of YAML 1.2.
    private func json(_ text: String) throws -> JSON {
        var errors = ErrorList(file: "f")
        return value(try #require(YAMLDocument.read(text, into: &errors, example: "")))
    }

    private func value(_ tree: YAMLTree) -> JSON {
        switch tree {
        case .list(let items, _): return .array(items.map(value))
        case .map(let pairs, _): return .object(pairs.map { JSON.Member($0.key.text, value($0.value)) })
        case .scalar(let scalar):
            guard scalar.isPlain else { return .string(scalar.text) }
            switch scalar.text {
            case "", "~", "null": return .null
            case "true", "false": return .bool(scalar.text == "true")
            default:
                if let number = Int64(scalar.text) { return .integer(number) }
                return Double(scalar.text).map { .number($0) } ?? .string(scalar.text)
            }
        }
    }
}

/// The keywords of JSON Schema that ours uses, and no more: an unknown keyword is a fault.
struct SmallValidator {
    private let root: JSON

    init(_ root: JSON) { self.root = root }

    func faults(_ instance: JSON) -> [String] { faults(instance, root, at: "$") }

    private func faults(_ value: JSON, _ schema: JSON, at place: String) -> [String] {
        (schema.members ?? []).flatMap { keyword in fault(value, keyword, schema, place) }
    }

    private func fault(_ value: JSON, _ keyword: JSON.Member, _ schema: JSON, _ place: String) -> [String] {
        func expect(_ isFine: Bool) -> [String] { isFine ? [] : ["\(place): \(keyword.name) \(keyword.value.text)"] }
        let rule = keyword.value
        let schemas = rule.array ?? []
        switch keyword.name {
        case "$schema", "title", "description", "default", "examples", "$defs": return []
        case "$ref":
            let name = rule.string?.split(separator: "/").last.map(String.init) ?? ""
            return root["$defs"]?[name].map { faults(value, $0, at: place) } ?? ["no definition \(name)"]
        case "type": return expect((rule.array ?? [rule]).contains { isKind(value, $0.string ?? "") })
        case "enum": return expect(schemas.contains(value))
        case "anyOf": return expect(schemas.contains { faults(value, $0, at: place).isEmpty })
        case "allOf": return expect(schemas.allSatisfy { faults(value, $0, at: place).isEmpty })
        case "oneOf": return expect(schemas.filter { faults(value, $0, at: place).isEmpty }.count == 1)
        case "not": return expect(!faults(value, rule, at: place).isEmpty)
        case "pattern":
            guard let text = value.string else { return [] }
            guard let pattern = rule.string, let regex = try? Regex(pattern) else {
                return ["no pattern: \(rule.text)"]
            }
            return expect(text.firstMatch(of: regex) != nil)
        case "minLength", "maxLength":
            guard let count = value.string.map({ Int64($0.unicodeScalars.count) }), let limit = rule.integer else {
                return []
            }
            return expect(keyword.name == "minLength" ? count >= limit : count <= limit)
        case "minimum", "maximum":
            guard let number = value.integer, let limit = rule.integer else { return [] }
            return expect(keyword.name == "minimum" ? number >= limit : number <= limit)
        case "maxItems": return expect((value.array?.count ?? 0) <= Int(rule.integer ?? 0))
        case "minProperties": return expect(value.members.map { $0.count >= Int(rule.integer ?? 0) } ?? true)
        case "maxProperties": return expect(value.members.map { $0.count <= Int(rule.integer ?? 0) } ?? true)
        case "items":
            return (value.array ?? []).enumerated().flatMap { faults($1, rule, at: "\(place)[\($0)]") }
        case "properties":
            return (value.members ?? []).flatMap { member in
                rule[member.name].map { faults(member.value, $0, at: place + "." + member.name) } ?? []
            }
        case "additionalProperties":
            let others = (value.members ?? []).filter { schema["properties"]?[$0.name] == nil }
            if rule.bool == false { return expect(others.isEmpty) }
            return others.flatMap { faults($0.value, rule, at: place + "." + $0.name) }
        case "propertyNames":
            return (value.members ?? []).flatMap { faults(.string($0.name), rule, at: place + "." + $0.name) }
        case "required":
            return expect(
                value.members.map { members in
                    schemas.allSatisfy { name in members.contains { .string($0.name) == name } }
                } ?? true)
        default: return ["unknown keyword \(keyword.name)"]
        }
    }

    private func isKind(_ value: JSON, _ kind: String) -> Bool {
        switch (value, kind) {
        case (.null, "null"), (.bool, "boolean"), (.integer, "integer"), (.integer, "number"), (.number, "number"),
            (.string, "string"), (.array, "array"), (.object, "object"):
            true
        default: false
        }
    }
}
