public import UrsaBase

/// The JSON Schema of `ursa.yaml`, for editors and other tools.
public enum SpecSchema {
    /// The schema (draft 2020-12). It holds the form; references and collisions are the reader's.
    public static var json: JSON {
        var members: [JSON.Member] = [
            JSON.Member("$schema", "https://json-schema.org/draft/2020-12/schema"),
            JSON.Member("title", "ursa.yaml"),
        ]
        members += SpecFields.all.schema("Machines and networks for Ursa.").members ?? []
        members.append(JSON.Member("minProperties", 1))
        members.append(JSON.Member("$defs", definitions))
        return .object(members)
    }

    private static var definitions: JSON {
        [
            "networkName": name(Limits.networkNameLength, reserved: []),
            "machineName": name(Limits.machineNameLength, reserved: Limits.reservedMachineNames.sorted()),
            "network": network,
            "machine": MachineFields.all.schema("A machine."),
            "card": CardFields.all.schema("Options of a network card."),
        ]
    }

    private static func name(_ length: ClosedRange<Int>, reserved: [String]) -> JSON {
        .record([
            "type": "string", "pattern": .string(NameRules.pattern), "maxLength": .integer(Int64(length.upperBound)),
            "not": reserved.isEmpty ? nil : ["enum": .array(reserved.map { .string($0) })],
        ])
    }

    /// A network is the word of its model, or a map with exactly one model among its keys.
    private static var network: JSON {
        let words = NetworkFields.models.map { JSON.string($0.rawValue) }
        var map = NetworkFields.all.schema("A network: one model and its options.").members ?? []
        map.append(JSON.Member("oneOf", .array(words.map { ["required": [$0]] })))
        return ["anyOf": [["description": "The network's model alone.", "enum": .array(words)], .object(map)]]
    }
}
