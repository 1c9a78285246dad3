import UrsaBase

/// A change of elements only, for a table whose chains and sets stay as they are: what it costs does not depend on the
/// table's size.
struct ElementChange: Sendable, Hashable {
    /// Per set: elements to take out and to put in.
    let changes: [(set: NamedSet, gone: [String], new: [String])]
    let table: String

    /// The number of the new stamp.
    let stamp: UInt32

    /// - Parameters:
    ///   - stamps: those that are in the kernel's table.
    ///   - digest: of the new elements.
    init(table: String, from old: [NamedSet], to new: [NamedSet], stamps: [Stamp], digest: IPv6Address) {
        self.table = table
        var changes = zip(old, new).compactMap { old, new -> (set: NamedSet, gone: [String], new: [String])? in
            guard old.elements != new.elements else { return nil }
            let before = Set(old.elements)
            let after = Set(new.elements)
            return (
                new, old.elements.filter { !after.contains($0) }, new.elements.filter { !before.contains($0) }
            )
        }
        let newest = stamps.max()?.number ?? 0
        stamp = changes.isEmpty ? newest : newest &+ 1
        if !changes.isEmpty {
            let deletes = changes.contains { !$0.gone.isEmpty } || stamps.count >= Stamp.limit
            let next = Stamp(number: stamp, digest: digest)
            changes.append((NamedSet.stamps([next]), deletes ? stamps.map(\.element) : [], [next.element]))
        }
        self.changes = changes
    }

    static func == (a: ElementChange, b: ElementChange) -> Bool { a.text == b.text }
    func hash(into hasher: inout Hasher) { hasher.combine(text) }

    /// Whether nothing is to be changed.
    var isEmpty: Bool { changes.isEmpty }

    /// How many elements come and go, the stamp aside.
    var count: Int {
        changes.filter { $0.set.name != NamedSet.stampName }.reduce(0) { $0 + $1.gone.count + $1.new.count }
    }

    /// The text for `nft -f`: one transaction.
    var text: String {
        func list(_ verb: String, _ name: String, _ elements: [String]) -> [String] {
            elements.isEmpty
                ? [] : ["\(verb) element inet \(table) \(name) { \(elements.joined(separator: ", ")) }"]
        }
        let gone = changes.flatMap { list("delete", $0.set.name, $0.gone) }
        return (gone + changes.flatMap { list("add", $0.set.name, $0.new) }).map { $0 + "\n" }.joined()
    }
}
