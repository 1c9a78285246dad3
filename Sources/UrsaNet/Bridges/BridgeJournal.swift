import UrsaBase

/// How an interface was before it became a port of a bridge, in a file of the home that outlives crashes: written before
/// the first change, removed after the last one back.
struct BridgeJournal: Sendable, Hashable {
    /// The network.
    var network: String
    /// The interface that became a port, and its number.
    var interface: String
    var index: Int32
    /// Whether it was up.
    var wasUp: Bool
    /// Its addresses and routes.
    var state: LinkState
    /// Settings of the interface that were changed, with their values before.
    var settings: [SettingChange]
    /// Whether all of it is on the bridge; from then on what the bridge has is what counts.
    var isMoved: Bool

    private static func path(_ home: HomeMark, _ network: String) -> String { "\(home.folder)/bridge-\(network).json" }

    /// Those of this boot. What an earlier boot noted counts for nothing: the kernel has forgotten it too.
    static func all(_ home: HomeMark) -> [BridgeJournal] {
        File.list(home.folder).filter { $0.hasPrefix("bridge-") && $0.hasSuffix(".json") }.sorted().compactMap { file in
            guard let bytes = try? File.read("\(home.folder)/\(file)", limit: 16 << 20),
                let json = try? JSON.parse(bytes), json["boot"]?.string == bootIdentifier()
            else { return nil }
            return BridgeJournal(json)
        }
    }

    /// The journal of a network, or nil.
    static func of(_ network: String, _ home: HomeMark) -> BridgeJournal? {
        all(home).first { $0.network == network }
    }

    /// Writes it, on the disk when this returns.
    func write(_ home: HomeMark) throws(UrsaError) {
        try File.makeDirectory(home.folder)
        try File.replace(Self.path(home, network), json.line)
    }

    /// Removes it; a missing one is fine.
    static func remove(_ network: String, _ home: HomeMark) throws(UrsaError) {
        try File.remove(path(home, network))
    }
}

// The kernel's own bytes are kept as hexadecimal digits: what can't be said in words is not lost.
extension BridgeJournal {
    private init?(_ json: JSON) {
        guard let network = json["network"]?.string, NetworkWish.isLabel(network, limit: 32),
            let interface = json["interface"]?.string, let index = json["index"]?.integer,
            let addresses = json["addresses"]?.array, let routes = json["routes"]?.array
        else { return nil }
        self.network = network
        self.interface = interface
        self.index = Int32(truncatingIfNeeded: index)
        wasUp = json["up"]?.bool ?? true
        isMoved = json["moved"]?.bool ?? false
        state = LinkState()
        for entry in addresses {
            guard let address = SavedAddress(entry) else { return nil }
            state.addresses.append(address)
        }
        for entry in routes {
            guard let route = SavedRoute(entry) else { return nil }
            state.routes.append(route)
        }
        settings = (json["settings"]?.array ?? []).compactMap { entry in
            guard let name = entry["name"]?.string, let old = entry["old"]?.string, let new = entry["new"]?.string,
                !name.contains("..")
            else { return nil }
            return SettingChange(name: name, old: old, new: new)
        }
    }

    fileprivate var json: JSON {
        .record([
            "boot": .string(bootIdentifier()), "network": .string(network), "interface": .string(interface),
            "index": .integer(Int64(index)), "up": .bool(wasUp), "moved": .bool(isMoved),
            "addresses": .array(state.addresses.map(\.json)), "routes": .array(state.routes.map(\.json)),
            "settings": .array(
                settings.map {
                    .record(["name": .string($0.name), "old": .string($0.old), "new": .string($0.new)])
                }),
        ])
    }
}

extension SavedAttribute {
    fileprivate var json: JSON {
        .record(["type": .integer(Int64(type)), "bytes": .string(hexadecimal(bytes))])
    }

    fileprivate init?(_ json: JSON) {
        guard let type = json["type"]?.integer, let bytes = json["bytes"]?.string.flatMap(bytes(hexadecimal:)) else {
            return nil
        }
        self.init(type: Int(type), bytes: bytes)
    }
}

extension SavedAddress {
    fileprivate var json: JSON {
        .record([
            "address": .string(key?.description ?? ""), "family": .integer(Int64(family)),
            "prefix": .integer(Int64(prefix)), "scope": .integer(Int64(scope)), "flags": .integer(Int64(flags)),
            "attributes": .array(attributes.map(\.json)), "expires": .seconds(expires),
            "preferred": .seconds(preferredUntil),
        ])
    }

    fileprivate init?(_ json: JSON) {
        guard let family = json["family"]?.integer, let prefix = json["prefix"]?.integer,
            let scope = json["scope"]?.integer, let flags = json["flags"]?.integer,
            let attributes = json["attributes"]?.array
        else { return nil }
        self.family = UInt8(truncatingIfNeeded: family)
        self.prefix = UInt8(truncatingIfNeeded: prefix)
        self.scope = UInt8(truncatingIfNeeded: scope)
        self.flags = UInt32(truncatingIfNeeded: flags)
        self.attributes = attributes.compactMap { SavedAttribute($0) }
        expires = json["expires"]?.seconds
        preferredUntil = json["preferred"]?.seconds
        guard address != nil else { return nil }
    }
}

extension SavedRoute {
    fileprivate var json: JSON {
        .record([
            "route": .string(words), "header": .string(hexadecimal(header)),
            "attributes": .array(attributes.map(\.json)), "expires": .seconds(expires),
        ])
    }

    fileprivate init?(_ json: JSON) {
        guard let header = json["header"]?.string.flatMap(bytes(hexadecimal:)), header.count == 12,
            let attributes = json["attributes"]?.array
        else { return nil }
        self.header = header
        self.attributes = attributes.compactMap { SavedAttribute($0) }
        expires = json["expires"]?.seconds
    }
}

extension JSON {
    fileprivate static func seconds(_ value: Double?) -> JSON { value.map { .integer(Int64($0)) } ?? .null }
    fileprivate var seconds: Double? { integer.map { Double($0) } }
}

/// Bytes from pairs of hexadecimal digits; nil when it is something else.
private func bytes(hexadecimal text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count % 2 == 0 else { return nil }
    var result: [UInt8] = []
    for place in stride(from: 0, to: digits.count, by: 2) {
        guard let byte = UInt8(String(decoding: digits[place..<(place + 2)], as: UTF8.self), radix: 16) else {
            return nil
        }
        result.append(byte)
    }
    return result
}
