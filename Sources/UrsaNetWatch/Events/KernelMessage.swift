import Glibc
import UrsaBase

/// One message of a netlink datagram, as far as a listener needs it: type, payload, attributes (netlink(7)). Every
/// read is bounds-checked.
struct KernelMessage {
    let type: Int
    private let payload: ArraySlice<UInt8>

    /// Cuts a datagram into messages; a malformed tail is dropped.
    static func split(_ datagram: ArraySlice<UInt8>) -> [KernelMessage] {
        var messages: [KernelMessage] = []
        var rest = datagram
        while rest.count >= 16 {
            let length = Int(rest.number(at: 0, as: UInt32.self))
            guard length >= 16, length <= rest.count else { break }
            messages.append(
                KernelMessage(
                    type: Int(rest.number(at: 4, as: UInt16.self)),
                    payload: rest[(rest.startIndex + 16)..<(rest.startIndex + length)]))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return messages
    }

    /// A number of the fixed part.
    func number<T: FixedWidthInteger>(at offset: Int, as type: T.Type) -> T { payload.number(at: offset, as: type) }

    /// The attribute of that number behind a fixed part of `skip` bytes.
    func attribute(_ number: Int, after skip: Int) -> ArraySlice<UInt8>? {
        var rest = payload.dropFirst((skip + 3) & ~3)
        while rest.count >= 4 {
            let length = Int(rest.number(at: 0, as: UInt16.self))
            guard length >= 4, length <= rest.count else { return nil }
            // The two upper bits say "nested" and "network byte order".
            if Int(rest.number(at: 2, as: UInt16.self) & 0x3fff) == number {
                return rest[(rest.startIndex + 4)..<(rest.startIndex + length)]
            }
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return nil
    }
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
