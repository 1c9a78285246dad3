import UrsaBase

/// Writes frames in the pcapng format (IETF draft-ietf-opsawg-pcapng), which tcpdump and Wireshark read: one section,
/// one interface block per link with its name, times in nanoseconds, and at the end how many frames were lost.
public struct PcapngWriter: Sendable {
    /// Most bytes kept of a frame, as the interface blocks say.
    public static let snapLength = 262_144
    private var names: [String] = []

    /// A writer; `start` gives the file's first bytes.
    public init() {}

    /// The section header block: byte order (the writer's own, told by the magic number), version 1.0, unknown length.
    public static func start(application: String) -> [UInt8] {
        block(0x0A0D_0D0A) { body in
            body.put(UInt32(0x1A2B_3C4D))
            body.put(UInt16(1))
            body.put(UInt16(0))
            body.put(UInt64.max)
            body.option(4, Array(application.utf8))
            body.endOptions()
        }
    }

    /// The number of a link, and the block that introduces it when it is new. `name` is what readers show.
    public mutating func link(_ name: String) -> (number: Int, block: [UInt8]) {
        if let number = names.firstIndex(of: name) { return (number, []) }
        names.append(name)
        let block = Self.block(1) { body in
            body.put(UInt16(1))  // LINKTYPE_ETHERNET
            body.put(UInt16(0))
            body.put(UInt32(Self.snapLength))
            body.option(2, Array(name.utf8.prefix(255)))
            body.option(9, [9])  // if_tsresol: 10^-9 s
            body.endOptions()
        }
        return (names.count - 1, block)
    }

    /// A frame's block.
    public static func frame(_ frame: CapturedFrame, link: Int) -> [UInt8] {
        block(6) { body in
            let kept = frame.bytes.prefix(snapLength)
            body.put(UInt32(truncatingIfNeeded: link))
            body.put(UInt32(truncatingIfNeeded: frame.time >> 32))
            body.put(UInt32(truncatingIfNeeded: frame.time))
            body.put(UInt32(kept.count))
            body.put(UInt32(clamping: max(kept.count, frame.length)))
            body.bytes += kept
            body.pad()
            // epb_flags, bits 0–1: 1 inbound, 2 outbound.
            body.option(2, withUnsafeBytes(of: UInt32(frame.isOutgoing ? 2 : 1)) { Array($0) })
            body.endOptions()
        }
    }

    /// The block that tells how many frames of a link were seen and how many the reader was too slow for.
    public static func statistics(link: Int, time: UInt64, seen: UInt64, lost: UInt64) -> [UInt8] {
        block(5) { body in
            body.put(UInt32(truncatingIfNeeded: link))
            body.put(UInt32(truncatingIfNeeded: time >> 32))
            body.put(UInt32(truncatingIfNeeded: time))
            body.option(4, withUnsafeBytes(of: seen) { Array($0) })
            body.option(5, withUnsafeBytes(of: lost) { Array($0) })
            body.endOptions()
        }
    }

    private struct Body {
        var bytes: [UInt8] = []
        mutating func put<T: FixedWidthInteger>(_ value: T) {
            withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
        }
        mutating func pad() { while bytes.count % 4 != 0 { bytes.append(0) } }
        mutating func option(_ code: UInt16, _ value: [UInt8]) {
            put(code)
            put(UInt16(truncatingIfNeeded: value.count))
            bytes += value
            pad()
        }
        mutating func endOptions() { put(UInt32(0)) }
    }

    /// A block: type, length, body, length.
    private static func block(_ type: UInt32, _ fill: (inout Body) -> Void) -> [UInt8] {
        var content = Body()
        fill(&content)
        let length = UInt32(content.bytes.count + 12)
        var whole = Body()
        whole.put(type)
        whole.put(length)
        whole.bytes += content.bytes
        whole.put(length)
        return whole.bytes
    }
}
