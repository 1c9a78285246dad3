import CCompression
public import UrsaBase

/// xz streams (LZMA2), one buffer at a call.
public enum XZ {
    /// Most memory that a stream's dictionary may take, in bytes; xz's own largest preset wants 65 MiB.
    private static let memory: UInt64 = 96 << 20

    /// Undoes the stream at the start of `input`. Returns the bytes written. More than `output` holds is an error, as is a
    /// stream that wants more than 96 MiB of memory.
    public static func decompress(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(UrsaError) -> Int {
        guard let source = input.baseAddress?.assumingMemoryBound(to: UInt8.self),
            let target = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        else { throw UrsaError.damagedStream("xz", "it is empty") }
        var limit = memory
        var consumed = 0
        var produced = 0
        let result = lzma_stream_buffer_decode(
            &limit, 0, nil, source, &consumed, input.count, target, &produced, output.count)
        switch result {
        case LZMA_OK: return produced
        case LZMA_MEM_ERROR: throw UrsaError.noMemory("decompress")
        case LZMA_MEMLIMIT_ERROR:
            throw UrsaError(.unsupported, "the xz data wants \(limit) bytes of memory, more than \(memory)")
        case LZMA_BUF_ERROR:
            throw UrsaError.damagedStream("xz", "it is cut short, or more than the \(output.count) bytes it stands for")
        default: throw UrsaError.damagedStream("xz", "its content is not valid")
        }
    }
}
