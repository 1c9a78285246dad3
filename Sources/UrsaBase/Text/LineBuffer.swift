/// Cuts a stream of bytes from a stranger into lines, holding never more than one line of bounded length and what came
/// with it.
public struct LineBuffer: Sendable {
    /// Most bytes of one line, without its line feed.
    public let limit: Int
    private var held: [UInt8] = []
    /// Where the next line starts in `held`.
    private var start = 0
    /// Up to where `held` is known to have no line feed.
    private var searched = 0

    /// An empty buffer for lines of at most `limit` bytes.
    public init(limit: Int) { self.limit = max(1, limit) }

    /// Takes in bytes as they came. Call `next` until it returns nil before the next `append`.
    public mutating func append(_ bytes: some Collection<UInt8>) {
        if start == held.count { held = [] } else { held.removeSubrange(..<start) }
        searched = max(0, min(searched - start, held.count))
        start = 0
        held.append(contentsOf: bytes)
    }

    /// The next whole line without its line feed (and without a carriage return before it), nil when there is none yet.
    ///
    /// - Throws: `.io` when the line is longer than `limit`; the stream can't be trusted any more then.
    public mutating func next() throws(UrsaError) -> [UInt8]? {
        var position = max(start, searched)
        while position < held.count, held[position] != 10 { position += 1 }
        guard position - start <= limit else { throw UrsaError(.io, "a line is longer than \(limit) bytes") }
        searched = position
        guard position < held.count else { return nil }
        var line = held[start..<position]
        if line.last == 13 { line.removeLast() }
        start = position + 1
        searched = start
        return Array(line)
    }

    /// Takes out what is held beyond the last whole line, for streams that change from lines to raw bytes.
    public mutating func takeRest() -> [UInt8] {
        let rest = Array(held[start...])
        held = []
        start = 0
        searched = 0
        return rest
    }
}
