import CCompression
public import UrsaBase

/// How a deflate stream (RFC 1951) is wrapped.
public enum DeflateForm: Sendable {
    /// Nothing around it: qcow and qcow2.
    case raw
    /// The header and checksum of RFC 1950: vmdk, dmg, cloop.
    case zlib
}

/// What a decompressor did with its buffers.
public struct Decompressed: Sendable, Equatable {
    /// Bytes of the input that belong to the stream; what follows them was not looked at.
    public var consumed: Int
    /// Bytes written to the output.
    public var produced: Int
}

/// Undoes deflate, one buffer at a call. Keep one and use it again: it owns about 11 KiB of tables. Not for two threads
/// at once; `Pool` hands them out.
public final class Inflater {
    private let state: OpaquePointer

    /// - Throws: when there is no memory.
    public init() throws(UrsaError) {
        guard let state = libdeflate_alloc_decompressor() else { throw UrsaError.noMemory("decompress") }
        self.state = state
    }

    deinit { libdeflate_free_decompressor(state) }

    /// Inflates the stream at the start of `input`; bytes after its end are left alone, since qcow2 knows the length of
    /// a compressed cluster in sectors only. A stream that would produce more than `output` holds is an error, so a bomb
    /// costs no more than the buffer. After an error the content of `output` is undefined.
    public func inflate(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, form: DeflateForm
    ) throws(UrsaError) -> Decompressed {
        guard let source = input.baseAddress, let target = output.baseAddress else {
            throw UrsaError.damagedStream("deflate", "it is empty")
        }
        var consumed = 0
        var produced = 0
        let result =
            switch form {
            case .raw:
                libdeflate_deflate_decompress_ex(
                    state, source, input.count, target, output.count, &consumed, &produced)
            case .zlib:
                libdeflate_zlib_decompress_ex(state, source, input.count, target, output.count, &consumed, &produced)
            }
        switch result {
        case LIBDEFLATE_SUCCESS: return Decompressed(consumed: consumed, produced: produced)
        case LIBDEFLATE_INSUFFICIENT_SPACE:
            throw UrsaError.damagedStream("deflate", "it holds more than the \(output.count) bytes it stands for")
        default: throw UrsaError.damagedStream("deflate", "its content is not valid")
        }
    }
}

extension UrsaError {
    /// Compressed data that can't be undone.
    static func damagedStream(_ method: String, _ reason: String) -> UrsaError {
        UrsaError(.io, "the \(method) data is damaged: \(reason)")
    }

    /// The allocator gave nothing.
    static func noMemory(_ action: String) -> UrsaError { UrsaError(.io, "no memory to \(action)") }
}
