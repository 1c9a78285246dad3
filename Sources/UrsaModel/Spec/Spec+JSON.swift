public import UrsaBase

extension Spec {
    /// The spec with every default filled in, in the form of `ursa.yaml`, as JSON. It reads back to the same spec and
    /// is valid by `SpecSchema.json`.
    public var json: JSON { .object(SpecFields.all.write(self)) }

    /// Reads what `json` gave. Unknown members are passed over, types and rules are checked.
    ///
    /// - Throws: `.invalidSpec` with every error found, each with a place like `spec at machines.web.memory`.
    public init(json: JSON) throws(UrsaError) {
        self = try SpecReader.read(YAMLTree(json), ReadContext(errors: ErrorList(file: "spec"), isLenient: true))
    }

    /// The spec with every default filled in, as the text of an `ursa.yaml` that reads back to the same spec.
    public var yaml: String { YAMLWriter.text(json) }
}

extension NetworkSpec {
    /// The members of the network's JSON, name left out.
    var members: [JSON.Member] { NetworkFields.all.write(NetworkDraft(network: self)) }

    /// The network as JSON: its name and the keys of `ursa.yaml`, defaults filled in.
    public var json: JSON { .object([JSON.Member("name", .string(name))] + members) }

    /// Reads what `json` gave. Unknown members are passed over; types and the network's own rules are checked.
    public init(json: JSON) throws(UrsaError) {
        var context = ReadContext(errors: ErrorList(file: "network"), isLenient: true)
        let (pair, path) = try namedPair(json, "network", .networks, &context)
        self = NetworkFields.read(pair, &context)
        context.add(findings(path))
        if let error = context.errors.combined { throw error }
    }
}

extension MachineSpec {
    /// The members of the machine's JSON, name left out.
    var members: [JSON.Member] { MachineFields.all.write(self) }

    /// The machine as JSON: its name and the keys of `ursa.yaml`, defaults filled in.
    public var json: JSON { .object([JSON.Member("name", .string(name))] + members) }

    /// Reads what `json` gave. Unknown members are passed over; types and the machine's own rules are checked, those
    /// about other machines and networks are not.
    public init(json: JSON) throws(UrsaError) {
        var context = ReadContext(errors: ErrorList(file: "machine"), isLenient: true)
        let (pair, path) = try namedPair(json, "machine", .machines, &context)
        self = SpecFields.machine(pair, &context)
        context.add(findings(path))
        if let error = context.errors.combined { throw error }
    }
}

/// The name and the rest of a network's or machine's JSON.
private func namedPair(
    _ json: JSON, _ what: String, _ section: SpecPath.Section, _ context: inout ReadContext
) throws(UrsaError) -> (YAMLPair, SpecPath) {
    guard let members = json.members else { throw UrsaError(.invalidSpec, "the JSON of a \(what) is no object") }
    guard let name = json["name"]?.string else {
        throw UrsaError(.invalidSpec, "the JSON of a \(what) has no name", place: what)
    }
    let key = YAMLScalar(text: name, isPlain: false, place: .path(name))
    let value = YAMLTree(.object(members.filter { $0.name != "name" }), path: name)
    let path = SpecPath(section, 0)
    context.enter(path, key.place)
    return (YAMLPair(key: key, value: value), path)
}
