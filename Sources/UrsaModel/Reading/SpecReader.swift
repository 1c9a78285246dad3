public import UrsaBase

/// Reads `ursa.yaml`.
public enum SpecReader {
    /// Reads a spec and checks it whole.
    ///
    /// Machines that say nothing about networks get a card on the network `default`, and that network is part of the
    /// result when a machine uses it, defined or not.
    ///
    /// - Parameters:
    ///   - text: the file's content, at most 1 MiB. Bytes that were not UTF-8 show as U+FFFD and are refused.
    ///   - file: the file's name, for the places of errors.
    /// - Throws: `.invalidSpec` with every error found (`flattened`), each with `file:line:column`.
    public static func read(_ text: String, file: String) throws(UrsaError) -> Spec {
        var errors = ErrorList(file: file)
        guard let tree = YAMLDocument.read(text, into: &errors, example: example) else {
            throw errors.combined ?? UrsaError(.invalidSpec, "the file can't be read", place: file)
        }
        return try read(tree, ReadContext(errors: errors))
    }

    /// Reads a spec from a file's bytes; see `read(_:file:)`.
    public static func read(_ bytes: [UInt8], file: String) throws(UrsaError) -> Spec {
        try read(TextCheck.decode(bytes, file: file), file: file)
    }

    static func read(_ tree: YAMLTree, _ start: ReadContext) throws(UrsaError) -> Spec {
        var context = start
        var spec = Spec()
        switch tree {
        case .map(let pairs, let place):
            if pairs.isEmpty, !context.isLenient {
                context.errors.add(place, "the file asks for nothing", remedy: smallest)
            }
            context.read(pairs, at: place, SpecFields.all, of: "the file", into: &spec) { pair, context in
                guard case .map(let members, _) = pair.value,
                    members.contains(where: { member in MachineFields.all.contains { $0.key == member.key.text } })
                else { return false }
                context.errors.add(
                    pair.key.place, "the file has no key \(shown(pair.key.text))",
                    remedy: "if it is a machine, indent it under `machines:`")
                return true
            }
        default:
            if tree.isNull {
                context.errors.add(tree.place, "the file is empty", remedy: smallest)
            } else {
                context.errors.add(tree.place, "the file is \(tree.kind), not a map", remedy: smallest)
            }
        }
        spec.addImpliedNetwork()
        spec.resolveShortZones(&context)
        context.add(spec.findings())
        if let error = context.errors.combined { throw error }
        return spec
    }

    private static let example = "machines: { web: { image: tiny } }"
    private static let smallest = "a smallest file is: \(example)"
}

extension Spec {
    /// Adds the network `default` when a machine uses it and nobody defined it.
    public mutating func addImpliedNetwork() {
        let name = NetworkSpec.defaultName
        guard !networks.contains(where: { $0.name == name }),
            machines.contains(where: { $0.networks.contains { $0.network == name } })
        else { return }
        networks.append(.implied)
    }
}
