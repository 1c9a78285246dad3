import UrsaBase

/// The pipe on which the keeper tells the outcome of a start, once, to whoever started it.
final class StartReport {
    private var pipe: SharedFD?

    /// A report on an inherited descriptor, or one that nobody reads.
    init(_ fd: Int32?) { pipe = fd.map { SharedFD(OwnedFD($0)) } }

    /// Whether the outcome was told.
    var isGiven: Bool { pipe == nil }

    /// Writes the outcome as one line and closes the pipe; a reader that is gone is fine.
    func give(_ outcome: Result<JSON, UrsaError>) {
        guard let pipe else { return }
        let message: JSON =
            switch outcome {
            case .success(let status): ["ok": status]
            case .failure(let error): ["error": error.json]
            }
        try? writeAllBytes(pipe.raw, message.line, "the report")
        self.pipe = nil
    }
}
