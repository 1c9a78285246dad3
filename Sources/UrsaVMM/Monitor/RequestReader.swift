import UrsaBase

/// Cuts a stream of bytes into JSON objects. QMP has no separator between requests: an object ends with its last brace
/// (QEMU, docs/interop/qmp-spec: "the stream of JSON objects"; people's tools send with line feeds and without).
struct RequestReader {
    /// Most bytes of one request.
    static let sizeLimit = 65536
    /// Deepest nesting.
    static let depthLimit = 32

    enum Fault: Error { case syntax, tooLong, tooDeep }

    private var held: [UInt8] = []
    private var position = 0
    private var depth = 0
    private var isInText = false
    private var isEscaped = false
    /// Whether the rest of the line goes with a fault: one answer per fault, not one per letter.
    private var isSkipping = false

    /// Whether a request has begun and not ended.
    var isInside: Bool { !held.isEmpty }

    /// Takes in bytes; call `next` until it returns nil before the next `append`.
    mutating func append(_ bytes: some Collection<UInt8>) { held.append(contentsOf: bytes) }

    /// The bytes of the next whole object; nil when there is none yet.
    ///
    /// - Throws: after `.syntax` reading goes on behind the fault; after the others the stream can't be trusted.
    mutating func next() throws(Fault) -> [UInt8]? {
        while position < held.count {
            let byte = held[position]
            if isSkipping {
                isSkipping = byte != 10
                position += 1
                continue
            }
            if depth == 0 {
                if byte == UInt8(ascii: "{") {
                    held.removeSubrange(..<position)
                    position = 1
                    depth = 1
                    continue
                }
                position += 1
                guard byte == 32 || byte == 9 || byte == 10 || byte == 13 else {
                    isSkipping = true
                    throw .syntax
                }
                continue
            }
            position += 1
            guard position <= RequestReader.sizeLimit else { throw .tooLong }
            if isInText {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isInText = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isInText = true
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                guard depth <= RequestReader.depthLimit else { throw .tooDeep }
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 {
                    let request = Array(held[..<position])
                    drop()
                    return request
                }
            default: break
            }
        }
        if depth == 0 { drop() }
        return nil
    }

    private mutating func drop() {
        held.removeSubrange(..<position)
        position = 0
    }
}
