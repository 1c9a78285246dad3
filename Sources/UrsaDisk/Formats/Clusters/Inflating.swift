import UrsaBase

extension ByteSource {
    /// Inflates a piece of an image, at least `least` bytes of it; an error names the file and where the piece lies.
    func inflate(
        _ packed: UnsafeMutableRawBufferPointer, into target: UnsafeMutableRawBufferPointer, least: Int,
        _ form: DeflateForm, of format: DiskFormat, at offset: UInt64
    ) throws(UrsaError) {
        let produced: Int
        do throws(UrsaError) {
            produced = try Pool.inflaters.with { (inflater) throws(UrsaError) in
                try inflater.inflate(UnsafeRawBufferPointer(packed), into: target, form: form).produced
            }
        } catch {
            throw damaged(format, error.message, at: offset)
        }
        guard produced >= least else {
            throw damaged(format, "a compressed piece holds \(produced) bytes instead of \(least)", at: offset)
        }
    }
}
