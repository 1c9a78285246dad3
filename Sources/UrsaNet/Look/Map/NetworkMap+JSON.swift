public import UrsaBase
import UrsaFirewall

extension NetworkMap {
    /// The map as JSON. Names of members are kept; new ones may join.
    public var json: JSON {
        .record([
            "host": .record([
                "name": .string(host), "forwarding": .bool(isForwarding), "interfaces": .array(links.map(\.json)),
            ]),
            "gateways": .array(gateways.map(\.json)),
            "networks": .array(networks.map(\.json)),
            "machines": .array(machines.map(\.json)),
            "zones": .array(zones.map(JSON.string)),
            "policies": .array(
                policies.map {
                    .record(["from": .string($0.from), "to": .string($0.to), "action": .string($0.action.rawValue)])
                }),
            "notes": .array(notes.map(JSON.string)),
        ])
    }
}

private func texts<T: CustomStringConvertible>(_ values: [T]) -> JSON { .array(values.map { .string($0.description) }) }

extension NetworkMap.Gateway {
    var json: JSON {
        .record([
            "uplink": uplink.map(JSON.string), "interface": .string(interface), "addresses": texts(addresses),
            "role": role.map(JSON.string), "healthy": .bool(isHealthy), "zone": zone.map(JSON.string),
        ])
    }
}

extension NetworkMap.Interface {
    var json: JSON {
        .record([
            "name": .string(name), "kind": kind.map(JSON.string), "mac": mac.map { .string($0.description) },
            "addresses": texts(addresses), "up": .bool(isUp), "master": master.map(JSON.string),
        ])
    }
}

extension NetworkMap.Network {
    var json: JSON {
        .record([
            "name": .string(name), "model": .string(model), "way": .string(way), "subnets": texts(subnets),
            "router": router.map(JSON.string), "bridge": bridge.map(JSON.string), "stem": stem.map(JSON.string),
            "interface": interface.map(JSON.string), "uplinks": texts(uplinks), "zone": zone.map(JSON.string),
            "up": .bool(isUp), "trouble": trouble.map(JSON.string), "impairment": impairment.map(JSON.string),
        ])
    }
}

extension NetworkMap.Machine {
    var json: JSON {
        .record([
            "name": .string(name), "running": .bool(isRunning), "state": .string(state),
            "cards": .array(
                cards.map { card in
                    .record([
                        "network": .string(card.network), "addresses": texts(card.addresses),
                        "mac": card.mac.map { .string($0.description) }, "tap": card.tap.map(JSON.string),
                        "impairment": card.impairment.map(JSON.string),
                    ])
                }),
            "ports": texts(ports), "zone": zone.map(JSON.string),
        ])
    }
}
