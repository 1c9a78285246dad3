/// A change of elements only, for a table whose chains and sets stay as they are: what it costs does not depend on the
/// table's size.
struct ElementChange: Sendable, Hashable {
    /// Per set: elements to take out and to put in.
    private let changes: [(name: String, gone: [String], new: [String])]
    private let table: String

    init(table: String, from old: [NamedSet], to new: [NamedSet]) {
        self.table = table
        changes = zip(old, new).compactMap { old, new in
            guard old.elements != new.elements else { return nil }
            let before = Set(old.elements)
            let after = Set(new.elements)
            return (
                new.name, old.elements.filter { !after.contains($0) }, new.elements.filter { !before.contains($0) }
            )
        }
    }

    static func == (a: ElementChange, b: ElementChange) -> Bool { a.text == b.text }
    func hash(into hasher: inout Hasher) { hasher.combine(text) }

    /// Whether nothing is to be changed.
    var isEmpty: Bool { changes.isEmpty }

    /// How many elements come and go, the stamp aside.
    var count: Int {
        changes.filter { $0.name != NamedSet.stampName }.reduce(0) { $0 + $1.gone.count + $1.new.count }
    }

    /// The text for `nft -f`: one transaction.
    var text: String {
        func list(_ verb: String, _ name: String, _ elements: [String]) -> [String] {
            elements.isEmpty
                ? [] : ["\(verb) element inet \(table) \(name) { \(elements.joined(separator: ", ")) }"]
        }
        let gone = changes.flatMap { list("delete", $0.name, $0.gone) }
        return (gone + changes.flatMap { list("add", $0.name, $0.new) }).map { $0 + "\n" }.joined()
    }
}
