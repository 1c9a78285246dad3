import CCompression
public import UrsaBase

/// bzip2, one buffer at a call.
public enum Bzip2 {
    /// Undoes the stream at the start of `input`; bytes after its end are left alone. Returns the bytes written. More
    /// than `output` holds is an error. Up to 4 MiB of memory are used during the call.
    public static func decompress(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(UrsaError) -> Int {
        guard let source = input.baseAddress?.assumingMemoryBound(to: CChar.self),
            let target = output.baseAddress?.assumingMemoryBound(to: CChar.self),
            let length = UInt32(exactly: input.count), var produced = UInt32(exactly: output.count)
        else { throw UrsaError.damagedStream("bzip2", "it is empty or too long") }
        let result = BZ2_bzBuffToBuffDecompress(
            target, &produced, UnsafeMutablePointer(mutating: source), length, 0, 0)
        switch result {
        case BZ_OK: return Int(produced)
        case BZ_MEM_ERROR: throw UrsaError.noMemory("decompress")
        case BZ_OUTBUFF_FULL:
            throw UrsaError.damagedStream("bzip2", "it holds more than the \(output.count) bytes it stands for")
        case BZ_UNEXPECTED_EOF: throw UrsaError.damagedStream("bzip2", "it is cut short")
        default: throw UrsaError.damagedStream("bzip2", "its content is not valid")
        }
    }
}
