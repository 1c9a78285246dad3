public import UrsaBase

/// Apple Data Compression, the oldest method of dmg files: runs of literals and copies of earlier output.
///
/// A first byte of `1nnnnnnn` is followed by n + 1 literal bytes; `01nnnnnn` and a big-endian word d copy n + 4 bytes
/// from d + 1 back; `0nnnndd` with one more byte copies n + 3 bytes from the ten-bit distance + 1 back.
public enum AppleDataCompression {
    /// Undoes the runs of `input` until `output` is full or the input ends. Returns the bytes written. A run over the
    /// end of either, or a copy from before the first byte, is an error.
    public static func decompress(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(UrsaError) -> Int {
        var read = 0
        var written = 0
        while written < output.count, read < input.count {
            let first = Int(input[read])
            let isLong = first & 0x40 != 0
            if first & 0x80 != 0 {
                let length = (first & 0x7f) + 1
                guard length <= input.count - read - 1, length <= output.count - written else { throw cutShort }
                for index in 0..<length { output[written + index] = input[read + 1 + index] }
                read += 1 + length
                written += length
                continue
            }
            guard input.count - read >= (isLong ? 3 : 2) else { throw cutShort }
            let length = isLong ? (first & 0x3f) + 4 : (first & 0x3c) >> 2 + 3
            let distance =
                isLong
                ? Int(input[read + 1]) << 8 + Int(input[read + 2]) + 1 : (first & 3) << 8 + Int(input[read + 1]) + 1
            guard distance <= written else {
                throw UrsaError.damagedStream("ADC", "a run is copied from before the first byte")
            }
            guard length <= output.count - written else { throw cutShort }
            // The source may overlap the target: a run repeats what it has just written.
            for index in written..<written + length { output[index] = output[index - distance] }
            read += isLong ? 3 : 2
            written += length
        }
        return written
    }

    private static var cutShort: UrsaError { UrsaError.damagedStream("ADC", "a run passes the end") }
}
