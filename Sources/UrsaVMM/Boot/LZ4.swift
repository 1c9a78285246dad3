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
        var place = Place(input: input, inputEnd: source.count, output: output, outputEnd: target.count)
        while place.from < place.inputEnd {
            // Three of four sequences are short and far from the end: they need no loop and hardly a check.
            unpackShort(&place)
            switch unpackOne(&place) {
            case .more: continue
            case .end: return place.to
            case .broken: return nil
            }
        }
        return place.to
    }

    private enum Step { case more, end, broken }

    /// Where in a block the work is.
    private struct Place {
        let input: UnsafeRawPointer
        let inputEnd: Int
        let output: UnsafeMutableRawPointer
        let outputEnd: Int
        var from = 0
        var to = 0

        init(input: UnsafeRawPointer, inputEnd: Int, output: UnsafeMutableRawPointer, outputEnd: Int) {
            self.input = input
            self.inputEnd = inputEnd
            self.output = output
            self.outputEnd = outputEnd
        }

        /// The rest of a length that did not fit its four bits.
        mutating func extended(_ start: Int) -> Int? {
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
    }

    /// Unpacks sequences as long as they have fewer than 15 literals and a match of at most 18 bytes from 16 or more bytes before,
    /// and stops before one that has not. What is written beyond a run is overwritten by the next.
    @inline(__always)
    private static func unpackShort(_ place: inout Place) {
        // A token, 14 literals, a distance, and what `copy16` reads; in the output, 14 and 18 bytes and what it writes.
        let (lastInput, lastOutput) = (place.inputEnd &- 32, place.outputEnd &- 64)
        let (input, output) = (place.input, place.output)
        var (from, to) = (place.from, place.to)
        while from < lastInput, to < lastOutput {
            let token = Int(input.load(fromByteOffset: from, as: UInt8.self))
            let literals = token >> 4
            let match = token & 15
            guard literals != 15, match != 15 else { break }
            let next = from &+ 1 &+ literals
            let distance = Int((input + next).loadUnaligned(as: UInt16.self).littleEndian)
            let end = to &+ literals
            guard distance >= 16, distance <= end else { break }
            copy16(output + to, input + (from &+ 1))
            let source = output + (end &- distance)
            copy16(output + end, source)
            let rest = (source + 16).loadUnaligned(as: UInt16.self)
            (output + (end &+ 16)).storeBytes(of: rest, as: UInt16.self)
            from = next &+ 2
            to = end &+ match &+ 4
        }
        (place.from, place.to) = (from, to)
    }

    /// Unpacks one sequence of any kind.
    private static func unpackOne(_ place: inout Place) -> Step {
        let (input, output) = (place.input, place.output)
        let token = Int(input.load(fromByteOffset: place.from, as: UInt8.self))
        place.from &+= 1
        var literals = token >> 4
        if literals == 15 {
            guard let length = place.extended(15) else { return .broken }
            literals = length
        }
        guard literals <= place.inputEnd &- place.from, literals <= place.outputEnd &- place.to else { return .broken }
        if literals <= 16, place.inputEnd &- place.from >= 16, place.outputEnd &- place.to >= 16 {
            copy16(output + place.to, input + place.from)
        } else {
            (output + place.to).copyMemory(from: input + place.from, byteCount: literals)
        }
        place.from &+= literals
        place.to &+= literals
        // The last sequence has no match.
        if place.from == place.inputEnd { return .end }

        guard place.inputEnd &- place.from >= 2 else { return .broken }
        let distance = Int((input + place.from).loadUnaligned(as: UInt16.self).littleEndian)
        place.from &+= 2
        guard distance > 0, distance <= place.to else { return .broken }
        var match = token & 15
        if match == 15 {
            guard let length = place.extended(15) else { return .broken }
            match = length
        }
        match &+= 4
        let to = place.to
        guard match <= place.outputEnd &- to else { return .broken }
        // What is nearer than 16 bytes repeats itself: after the first repetitions, the same stands farther away too.
        let farther = distance >= 16 ? distance : distance &* ((distance &+ 15) / distance)
        let isRoomy = place.outputEnd &- to &- match >= 16
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
        place.to = to &+ match
        return .more
    }

    @inline(__always)
    private static func copy16(_ target: UnsafeMutableRawPointer, _ source: UnsafeRawPointer) {
        target.storeBytes(of: source.loadUnaligned(as: SIMD16<UInt8>.self), as: SIMD16<UInt8>.self)
    }
}
