import Testing
import UrsaBase

@testable import UrsaDisk

/// Bytes that compress by about half: runs of noise and repeats.
private func sample(_ count: Int, seed: UInt64 = 7) -> [UInt8] {
    var state = seed
    var bytes: [UInt8] = []
    while bytes.count < count {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        if state >> 63 == 0, bytes.count > 64 {
            bytes += Array(bytes.suffix(Int(state >> 40 & 63) + 1))
        } else {
            bytes += (0..<8).map { UInt8(truncatingIfNeeded: state >> ($0 * 8)) }
        }
    }
    return Array(bytes.prefix(count))
}

@Suite struct CompressionTests {
    private func inflate(_ bytes: [UInt8], _ limit: Int, _ form: DeflateForm) throws -> ([UInt8], Decompressed) {
        var output = [UInt8](repeating: 0, count: limit)
        let result = try Pool.inflaters.with { (inflater) throws(UrsaError) in
            try bytes.withUnsafeBytesTyped { (input) throws(UrsaError) in
                try output.withUnsafeMutableBytesTyped { (output) throws(UrsaError) in
                    try inflater.inflate(input, into: output, form: form)
                }
            }
        }
        return (Array(output.prefix(result.produced)), result)
    }

    private func deflate(_ bytes: [UInt8], level: Int = 6, form: DeflateForm) throws -> [UInt8] {
        var output = [UInt8](repeating: 0, count: bytes.count * 2 + 64)
        let deflater = try Deflater(level: level)
        let length = output.withUnsafeMutableBytes { output in
            bytes.withUnsafeBytes { deflater.deflate($0, into: output, form: form) }
        }
        return Array(output.prefix(try #require(length)))
    }

    @Test(arguments: [1, 6, 12])
    func `what is deflated inflates to the same, whatever follows the stream`(level: Int) throws {
        let bytes = sample(100_000)
        for form in [DeflateForm.raw, .zlib] {
            let stream = try deflate(bytes, level: level, form: form)
            #expect(stream.count < bytes.count)
            let (back, result) = try inflate(stream + [1, 2, 3], bytes.count, form)
            #expect(back == bytes)
            #expect(result.consumed == stream.count)
        }
    }

    @Test func `a stream that is longer than it may be is an error and writes no further`() throws {
        let stream = try deflate([UInt8](repeating: 0, count: 1 << 20), form: .raw)
        #expect(stream.count < 2000)
        #expect(throws: UrsaError.self) { try inflate(stream, 65536, .raw) }
        #expect(throws: UrsaError.self) { try inflate(Array(stream.dropLast(4)), 1 << 20, .raw) }
        #expect(throws: UrsaError.self) { try inflate([], 10, .zlib) }
    }

    @Test func `data that does not shrink is not stored`() throws {
        let bytes = (0..<512).map { UInt8(truncatingIfNeeded: $0 &* $0 &* 2_654_435_761 >> 7) }
        var output = [UInt8](repeating: 0, count: 100)
        let deflater = try Deflater()
        let length = output.withUnsafeMutableBytes { output in
            bytes.withUnsafeBytes { deflater.deflate($0, into: output, form: .raw) }
        }
        #expect(length == nil)
        let compressor = try Zstandard.Compressor()
        let frame = try output.withUnsafeMutableBytes { output in
            try bytes.withUnsafeBytes { try compressor.compress($0, into: output) }
        }
        #expect(frame == nil)
    }

    @Test func `zstd frames are undone one after the other until the output is full`() throws {
        let bytes = sample(50_000)
        let compressor = try Zstandard.Compressor()
        var frame = [UInt8](repeating: 0, count: 100_000)
        let length = try #require(
            try frame.withUnsafeMutableBytes { output in
                try bytes.withUnsafeBytes { try compressor.compress($0, into: output) }
            })
        frame.removeLast(frame.count - length)
        func undo(_ input: [UInt8], _ limit: Int) throws -> ([UInt8], Decompressed) {
            var output = [UInt8](repeating: 0, count: limit)
            let result = try Pool.zstandard.with { (decompressor) throws(UrsaError) in
                try input.withUnsafeBytesTyped { (input) throws(UrsaError) in
                    try output.withUnsafeMutableBytesTyped { (output) throws(UrsaError) in
                        try decompressor.decompress(input, into: output)
                    }
                }
            }
            return (output, result)
        }
        let (one, result) = try undo(frame + [9, 9, 9], bytes.count)
        #expect(one == bytes && result.consumed == frame.count)
        #expect(try undo(frame + frame, 2 * bytes.count).0 == bytes + bytes)
        #expect(throws: UrsaError.self) { try undo(frame, bytes.count - 1) }
        #expect(throws: UrsaError.self) { try undo(Array(frame.dropLast()), bytes.count) }
    }

    @Test func `ADC runs copy what was written, also over themselves`() throws {
        // Literal "abc", then 4 bytes from 3 back (short), then 5 bytes from 1 back (long).
        let stream: [UInt8] = [0x82, 0x61, 0x62, 0x63, 0x04, 0x02, 0x41, 0x00, 0x00]
        func undo(_ bytes: [UInt8], _ limit: Int) throws -> String {
            var output = [UInt8](repeating: 0, count: limit)
            let count = try output.withUnsafeMutableBytes { output in
                try bytes.withUnsafeBytes { try AppleDataCompression.decompress($0, into: output) }
            }
            return String(decoding: output.prefix(count), as: UTF8.self)
        }
        #expect(try undo(stream, 100) == "abcabcaaaaaa")
        #expect(throws: UrsaError.self) { try undo(stream, 11) }
        #expect(throws: UrsaError.self) { try undo([0x04, 0x02], 100) }
        #expect(throws: UrsaError.self) { try undo([0x82, 0x61], 100) }
        #expect(throws: UrsaError.self) { try undo([0x41, 0x00], 100) }
    }
}

extension Array where Element == UInt8 {
    fileprivate func withUnsafeBytesTyped<R>(
        _ body: (UnsafeRawBufferPointer) throws(UrsaError) -> R
    ) throws(UrsaError) -> R {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { copy.deallocate() }
        copy.copyBytes(from: self)
        return try body(UnsafeRawBufferPointer(copy))
    }

    fileprivate mutating func withUnsafeMutableBytesTyped<R>(
        _ body: (UnsafeMutableRawBufferPointer) throws(UrsaError) -> R
    ) throws(UrsaError) -> R {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { copy.deallocate() }
        let result = try body(copy)
        self = Array(copy)
        return result
    }
}
