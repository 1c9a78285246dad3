import UrsaBase

/// The errors found in one file, in the order of the file.
struct ErrorList {
    /// Most errors told at once; the rest is counted.
    static let limit = 64

    /// The file's name for places.
    let file: String
    private var found: [(place: Place?, error: UrsaError)] = []
    private var untold = 0

    /// No errors in `file`.
    init(file: String) { self.file = file }

    /// Whether nothing was found.
    var isEmpty: Bool { found.isEmpty }

    /// Adds an error. The texts are not made when there are too many errors already.
    mutating func add(
        _ place: Place, _ message: @autoclosure () -> String, remedy: @autoclosure () -> String? = nil
    ) {
        guard found.count < ErrorList.limit else {
            untold += 1
            return
        }
        found.append((place, UrsaError(.invalidSpec, message(), place: place.text(in: file), remedy: remedy())))
    }

    /// Adds an error that knows its place.
    mutating func add(_ error: UrsaError) { found.append((nil, error)) }

    /// All errors as one, in the order of the file; nil when there are none.
    var combined: UrsaError? {
        let order = found.indices.sorted { a, b in
            guard let first = found[a].place, let second = found[b].place else { return a < b }
            if first.isBefore(second) { return true }
            return second.isBefore(first) ? false : a < b
        }
        var errors = order.map { found[$0].error }
        if untold > 0 { errors.append(UrsaError(.invalidSpec, "and \(untold) more errors", place: file)) }
        return .all(errors)
    }
}
