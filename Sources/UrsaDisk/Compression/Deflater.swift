import CCompression
public import UrsaBase

/// Deflate (RFC 1951) at one level, one buffer at a call. Keep one and use it again: it owns up to a few MiB of tables.
/// Not for two threads at once; `Pool` hands them out.
public final class Deflater {
    /// 1 (fastest) to 12 (smallest), as libdeflate counts; 6 is what zlib's 6 gives, in a third of its time.
    public let level: Int
    private let state: OpaquePointer

    /// - Parameter level: 0 (stored) to 12; outside of that an error.
    public init(level: Int = 6) throws(UrsaError) {
        guard (0...12).contains(level) else {
            throw UrsaError(.usage, "deflate has no level \(level)", remedy: "use a level from 0 to 12")
        }
        guard let state = libdeflate_alloc_compressor(Int32(level)) else { throw UrsaError.noMemory("compress") }
        self.level = level
        self.state = state
    }

    deinit { libdeflate_free_compressor(state) }

    /// Deflates all of `input` into `output`. Returns the length of the stream, or nil when `output` is too small for
    /// it: data that does not shrink is stored as it is by whoever asks.
    public func deflate(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, form: DeflateForm
    ) -> Int? {
        guard let target = output.baseAddress else { return nil }
        let length =
            switch form {
            case .raw: libdeflate_deflate_compress(state, input.baseAddress, input.count, target, output.count)
            case .zlib: libdeflate_zlib_compress(state, input.baseAddress, input.count, target, output.count)
            }
        return length == 0 ? nil : length
    }
}
