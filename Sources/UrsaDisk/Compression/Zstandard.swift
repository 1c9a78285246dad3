import CCompression
public import UrsaBase

/// Zstandard (RFC 8878), one buffer at a call.
public enum Zstandard {
    /// Undoes Zstandard. Keep one and use it again: it owns about 150 KiB. Not for two threads at once; `Pool` hands
    /// them out.
    public final class Decompressor {
        private let state: OpaquePointer

        /// - Throws: when there is no memory.
        public init() throws(UrsaError) {
            guard let state = ZSTD_createDCtx() else { throw UrsaError.noMemory("decompress") }
            self.state = state
        }

        deinit { ZSTD_freeDCtx(state) }

        /// Decompresses frames from the start of `input` until `output` is full; bytes after that are left alone, since
        /// qcow2 knows the length of a compressed cluster in sectors only. Less than a full `output` is no error when
        /// the input ends with a frame. A frame that would produce more than fits is an error. The window that a frame
        /// claims costs nothing: the output is the window.
        public func decompress(
            _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
        ) throws(UrsaError) -> Decompressed {
            guard let source = input.baseAddress, let target = output.baseAddress else {
                throw UrsaError.damagedStream("zstd", "it is empty")
            }
            var consumed = 0
            var produced = 0
            repeat {
                let frame = ZSTD_findFrameCompressedSize(source + consumed, input.count - consumed)
                guard ZSTD_isError(frame) == 0, frame > 0, frame <= input.count - consumed else {
                    throw UrsaError.damagedStream("zstd", "its frame is not valid or cut short")
                }
                let count = ZSTD_decompressDCtx(
                    state, target + produced, output.count - produced, source + consumed, frame)
                guard ZSTD_isError(count) == 0, count <= output.count - produced else {
                    throw UrsaError.damagedStream("zstd", Zstandard.text(count))
                }
                consumed += frame
                produced += count
            } while produced < output.count && consumed < input.count
            return Decompressed(consumed: consumed, produced: produced)
        }
    }

    /// Compresses at one level. Keep one and use it again: it owns up to some MiB. Not for two threads at once; `Pool`
    /// hands them out.
    public final class Compressor {
        /// As zstd counts: 1 (fastest) to 19 and more; 3 is its own choice.
        public let level: Int
        private let state: OpaquePointer

        /// - Parameter level: outside of what the library knows an error.
        public init(level: Int = 3) throws(UrsaError) {
            guard level >= Int(ZSTD_minCLevel()), level <= Int(ZSTD_maxCLevel()) else {
                throw UrsaError(
                    .usage, "zstd has no level \(level)", remedy: "use a level from 1 to \(ZSTD_maxCLevel())")
            }
            guard let state = ZSTD_createCCtx() else { throw UrsaError.noMemory("compress") }
            self.level = level
            self.state = state
        }

        deinit { ZSTD_freeCCtx(state) }

        /// Compresses all of `input` into one frame in `output`. Returns its length, or nil when `output` is too small
        /// for it.
        public func compress(
            _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
        ) throws(UrsaError) -> Int? {
            guard let target = output.baseAddress else { return nil }
            let length = ZSTD_compressCCtx(
                state, target, output.count, input.baseAddress, input.count, Int32(level))
            guard ZSTD_isError(length) != 0 else { return length }
            if ZSTD_getErrorCode(length) == ZSTD_error_dstSize_tooSmall { return nil }
            throw UrsaError(.io, "can't compress with zstd: \(Zstandard.text(length))")
        }
    }

    private static func text(_ code: Int) -> String { String(cString: ZSTD_getErrorName(code)) }
}
