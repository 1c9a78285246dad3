import UrsaBase

/// Unpacks LZ4 blocks (lz4_Block_format.md) as they stand in kernels that were packed by `lz4 -l`: each block rests on nothing before it.
enum LZ4 {
    /// First four bytes of the legacy frame (lz4_Frame_format.md, "Legacy frame").
    static let legacyMagic: UInt32 = 0x184c_2102
    /// Bytes that a block of the legacy frame holds when unpacked, but for the last.
    static let blockSize = 8 << 20

    /// Unpacks one block.
    ///
    /// - Returns: bytes written; nil when the block is malformed or does not fit.
    static func unpack(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int? {
        guard let input = source.baseAddress, let output = target.baseAddress else { return nil }
        let inputEnd = source.count
        let outputEnd = target.count
        var from = 0
        var to = 0

        /// The rest of a length that did not fit its four bits.
        func extended(_ start: Int) -> Int? {
            var length = start
            while true {
                guard from < inputEnd else { return nil }
                let byte = Int(input.load(fromByteOffset: from, as: UInt8.self))
                from &+= 1
                length &+= byte
                if length > LZ4.blockSize { return nil }
                if byte != 255 { return length }
            }
        }

        while from < inputEnd {
            let token = Int(input.load(fromByteOffset: from, as: UInt8.self))
            from &+= 1
            var literals = token >> 4
            if literals == 15 {
                guard let length = extended(15) else { return nil }
                literals = length
            }
            guard literals <= inputEnd &- from, literals <= outputEnd &- to else { return nil }
            if literals <= 16, inputEnd &- from >= 16, outputEnd &- to >= 16 {
                // Most runs are short; copying more than is wanted is quicker than a call.
                copy16(output + to, input + from)
            } else {
                (output + to).copyMemory(from: input + from, byteCount: literals)
            }
            from &+= literals
            to &+= literals
            // The last sequence has no match.
            if from == inputEnd { return to }

            guard inputEnd &- from >= 2 else { return nil }
            let distance = Int((input + from).loadUnaligned(as: UInt16.self).littleEndian)
            from &+= 2
            guard distance > 0, distance <= to else { return nil }
            var match = token & 15
            if match == 15 {
                guard let length = extended(15) else { return nil }
                match = length
            }
            match &+= 4
            guard match <= outputEnd &- to else { return nil }
            // What is nearer than 16 bytes repeats itself: after the first repetitions, the same stands farther away too.
            let farther = distance >= 16 ? distance : distance &* ((distance &+ 15) / distance)
            let isRoomy = outputEnd &- to &- match >= 16
            let single = isRoomy ? min(match, farther &- distance) : match
            var done = 0
            while done < single {
                let byte = output.load(fromByteOffset: to &- distance &+ done, as: UInt8.self)
                output.storeBytes(of: byte, toByteOffset: to &+ done, as: UInt8.self)
                done &+= 1
            }
            while done < match {
                copy16(output + (to &+ done), output + (to &- farther &+ done))
                done &+= 16
            }
            to &+= match
        }
        return to
    }

    @inline(__always)
    private static func copy16(_ target: UnsafeMutableRawPointer, _ source: UnsafeRawPointer) {
        let low = source.loadUnaligned(as: UInt64.self)
        let high = (source + 8).loadUnaligned(as: UInt64.self)
        target.storeBytes(of: low, as: UInt64.self)
        (target + 8).storeBytes(of: high, as: UInt64.self)
    }
}
