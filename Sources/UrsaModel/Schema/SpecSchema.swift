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
            "uplink": UplinkFields.all.schema("A way out of the host."),
            "zone": zone,
            "policy": PolicyFields.all.schema("What happens between two zones when no rule decides."),
            "rule": RuleFields.all.schema("An exception to the policies."),
            "forward": ForwardFields.all.schema("Ports of the host that lead into a machine."),
            "interface": ["type": "string", "pattern": .string(Patterns.interface)],
            "address": [
                "type": "string", "anyOf": [["pattern": .string(Patterns.ipv4)], ["pattern": .string(Patterns.ipv6)]],
            ],
            "prefix": ["type": "string", "pattern": .string(Patterns.prefix)],
            "ports": [
                "anyOf": [
                    ["type": "integer", "minimum": 1, "maximum": 65535],
                    ["type": "string", "pattern": .string(Patterns.ports)],
                ]
            ],
            "rate": ["type": ["string", "integer"], "minimum": 8000, "pattern": .string(Patterns.rate)],
        ]
    }

    private static func name(_ length: ClosedRange<Int>, reserved: [String]) -> JSON {
        .record([
            "type": "string", "pattern": .string(NameRules.pattern), "maxLength": .integer(Int64(length.upperBound)),
            "not": reserved.isEmpty ? nil : ["enum": .array(reserved.map { .string($0) })],
        ])
    }

    /// A zone is a list of networks and uplinks, or a map.
    private static var zone: JSON {
        [
            "anyOf": [
                ["type": "array", "items": ["$ref": "#/$defs/networkName"]],
                .object(ZoneFields.all.schema("What belongs to a zone.").members ?? []),
            ]
        ]
    }

    /// A network is the word of its model, or a map with exactly one model among its keys.
    private static var network: JSON {
        let words = NetworkSpec.Model.allCases.map { JSON.string($0.rawValue) }
        var map = NetworkFields.all.schema("A network: one model and its options.").members ?? []
        map.append(JSON.Member("oneOf", .array(words.map { ["required": [$0]] })))
        return ["anyOf": [["description": "The network's model alone.", "enum": .array(words)], .object(map)]]
    }
}
