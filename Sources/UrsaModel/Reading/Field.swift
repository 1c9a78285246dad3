import UrsaBase

/// One key of a map in a file: its name, what it means, how it is read, written, and told to editors. The reader, the
/// suggestions, the schema, `ursa config` and the store all work from these.
struct Field<Target>: Sendable {
    /// The key as it is written.
    let key: String
    /// What it means, in one sentence, for the schema.
    let about: String
    /// JSON Schema of its value, description excluded.
    let schema: JSON
    /// The option of `ursa run` that says the same.
    var option: String?
    /// Words for it in other tools, for suggestions.
    var otherWords: [String] = []
    /// Whether it must be there.
    var isRequired = false
    /// Takes the value over into the target, or adds errors.
    let read: @Sendable (YAMLTree, inout ReadContext, inout Target) -> Void
    /// The value as JSON; nil leaves the key out.
    let write: @Sendable (Target) -> JSON?
}

extension Field {
    /// The schema with its description.
    var describedSchema: JSON {
        guard case .object(let members) = schema else { return schema }
        return .object([JSON.Member("description", .string(about))] + members)
    }
}

extension Array {
    /// Object of all keys that `target` has a value for.
    func write<Target>(_ target: Target) -> [JSON.Member] where Element == Field<Target> {
        compactMap { field in field.write(target).map { JSON.Member(field.key, $0) } }
    }

    /// JSON Schema of a map with these keys.
    func schema<Target>(_ about: String) -> JSON where Element == Field<Target> {
        let required = filter(\.isRequired).map { JSON.string($0.key) }
        return .record([
            "description": .string(about), "type": "object", "additionalProperties": false,
            "required": required.isEmpty ? nil : .array(required),
            "properties": .object(map { JSON.Member($0.key, $0.describedSchema) }),
        ])
    }
}
