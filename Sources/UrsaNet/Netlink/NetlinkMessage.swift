import CLinux
import Glibc
import UrsaBase

/// One netlink request while it is written (netlink(7)): a header, a fixed part, then attributes.
///
/// Ursa speaks rtnetlink by itself and not through libnl: the few messages it needs fit a page, many of them travel in
/// one `send` (one system call makes a whole network), the kernel's own words about an error come along, and a build
/// needs no library. All numbers are in the host's byte order unless an attribute says otherwise.
struct NetlinkMessage: Sendable {
    /// The message from its header on; the length field is filled in by `sealed`.
    private(set) var bytes: [UInt8]
    /// What the message does, for errors: `add the address 10.77.0.1`.
    let action: String
    /// Error numbers that mean that nothing was left to do.
    var tolerated: [Int32] = []

    /// A request. `flags` are added to `NLM_F_REQUEST`.
    init(_ type: Int, flags: Int32 = 0, action: String) {
        self.action = action
        bytes = []
        bytes.reserveCapacity(256)
        // struct nlmsghdr: u32 length, u16 type, u16 flags, u32 sequence number, u32 port (0: the kernel).
        put(UInt32(0))
        put(UInt16(truncatingIfNeeded: type))
        put(UInt16(truncatingIfNeeded: NLM_F_REQUEST | flags))
        put(UInt32(0))
        put(UInt32(0))
    }

    /// Appends an integer in the host's byte order.
    mutating func put<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    /// Appends a fixed part of the kernel's, padded to 4 bytes.
    mutating func put<T>(fixed value: T) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
        pad()
    }

    private mutating func pad() { while bytes.count % 4 != 0 { bytes.append(0) } }

    /// Appends an attribute (struct nlattr: u16 length with header, u16 type, payload, padding to 4 bytes).
    mutating func attribute(_ type: Int, _ payload: [UInt8]) {
        put(UInt16(truncatingIfNeeded: 4 + payload.count))
        put(UInt16(truncatingIfNeeded: type))
        bytes.append(contentsOf: payload)
        pad()
    }

    /// Appends a number attribute in the host's byte order.
    mutating func attribute<T: FixedWidthInteger>(_ type: Int, _ value: T) {
        attribute(type, withUnsafeBytes(of: value) { Array($0) })
    }

    /// Appends a text attribute, NUL-terminated.
    mutating func attribute(_ type: Int, text: String) { attribute(type, Array(text.utf8) + [0]) }

    /// Appends an attribute that holds what `body` appends.
    mutating func nest(_ type: Int, _ body: (inout NetlinkMessage) -> Void) {
        let start = bytes.count
        put(UInt16(0))
        put(UInt16(truncatingIfNeeded: type))
        body(&self)
        let length = UInt16(truncatingIfNeeded: bytes.count - start)
        withUnsafeBytes(of: length) { for (offset, byte) in $0.enumerated() { bytes[start + offset] = byte } }
        pad()
    }

    /// The finished message with its sequence number and further flags.
    func sealed(sequence: UInt32, flags: UInt16) -> [UInt8] {
        var result = bytes
        func set<T: FixedWidthInteger>(_ value: T, at place: Int) {
            withUnsafeBytes(of: value) { for (offset, byte) in $0.enumerated() { result[place + offset] = byte } }
        }
        set(UInt32(truncatingIfNeeded: result.count), at: 0)
        let old = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 6, as: UInt16.self) }
        set(old | flags, at: 6)
        set(sequence, at: 8)
        return result
    }
}

/// One message from the kernel, cut out of what was received; every read is bounds-checked.
struct NetlinkReply: Sendable {
    /// Message type.
    let type: Int
    /// Flags of the header.
    let flags: UInt16
    /// Sequence number of the request that it answers.
    let sequence: UInt32
    /// What follows the header.
    let payload: ArraySlice<UInt8>

    /// Cuts a received datagram into messages; a malformed tail is dropped.
    static func split(_ datagram: [UInt8]) -> [NetlinkReply] {
        var replies: [NetlinkReply] = []
        var rest = datagram[...]
        while rest.count >= 16 {
            let length = Int(rest.number(at: 0, as: UInt32.self))
            guard length >= 16, length <= rest.count else { break }
            replies.append(
                NetlinkReply(
                    type: Int(rest.number(at: 4, as: UInt16.self)), flags: rest.number(at: 6, as: UInt16.self),
                    sequence: rest.number(at: 8, as: UInt32.self),
                    payload: rest[(rest.startIndex + 16)..<(rest.startIndex + length)]))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return replies
    }

    /// The attributes after a fixed part of `skip` bytes.
    func attributes(after skip: Int) -> [Int: ArraySlice<UInt8>] {
        netlinkAttributes(payload.dropFirst((skip + 3) & ~3))
    }
}

/// Reads a row of attributes; of an attribute that comes twice the last counts.
func netlinkAttributes(_ bytes: ArraySlice<UInt8>) -> [Int: ArraySlice<UInt8>] {
    var result: [Int: ArraySlice<UInt8>] = [:]
    var rest = bytes
    while rest.count >= 4 {
        let length = Int(rest.number(at: 0, as: UInt16.self))
        guard length >= 4, length <= rest.count else { break }
        // The two upper bits of the type say "nested" and "network byte order" (NLA_TYPE_MASK).
        result[Int(rest.number(at: 2, as: UInt16.self) & 0x3fff)] =
            rest[(rest.startIndex + 4)..<(rest.startIndex + length)]
        rest = rest.dropFirst((length + 3) & ~3)
    }
    return result
}

extension ArraySlice<UInt8> {
    /// The integer in the host's byte order at an offset from the slice's start; 0 when the slice is too short.
    func number<T: FixedWidthInteger>(at offset: Int, as type: T.Type) -> T {
        guard offset >= 0, count >= offset + MemoryLayout<T>.size else { return 0 }
        return withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) }
    }
    /// The bytes as a text up to the first NUL.
    var terminatedText: String { String(decoding: prefix { $0 != 0 }, as: UTF8.self) }
}
