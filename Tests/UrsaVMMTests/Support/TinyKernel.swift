import CLinux
import Glibc
import UrsaBase

@testable import UrsaVMM

/// An ELF "kernel" of a few instructions of 64-bit code, loaded at 16 MiB, for what needs a guest but no Linux.
struct TinyKernel {
    static let address: UInt64 = 0x100_0000
    /// The code; write more of it by the functions below.
    var code: [UInt8] = []
    /// A note of an owner: type and content.
    var notes: [(owner: String, type: UInt32, content: [UInt8])] = []
    /// Zeros after the code, in memory only.
    var blank: UInt64 = 0x1000

    mutating func out(_ port: UInt16, _ value: UInt8) {
        code += [0x66, 0xba, UInt8(port & 0xff), UInt8(port >> 8), 0xb0, value, 0xee]
    }
    mutating func print(_ text: String) { for byte in text.utf8 { out(0x3f8, byte) } }
    mutating func powerOff() {
        out(0x600, 0x34)
        rest()
    }
    /// hlt; jmp to it.
    mutating func rest() { code += [0xf4, 0xeb, 0xfd] }
    /// Counts its starts in the clock's memory, which a reset leaves alone: before the `count`th it runs `otherwise`.
    mutating func unlessStarted(_ count: UInt8, _ otherwise: (inout TinyKernel) -> Void) {
        out(0x70, 0x40)
        var rest = TinyKernel()
        otherwise(&rest)
        // mov dx, 0x71; in al, dx; cmp al, count; jae over; inc al; out dx, al
        code += [0x66, 0xba, 0x71, 0x00, 0xec, 0x3c, count, 0x73, UInt8(3 + rest.code.count), 0xfe, 0xc0, 0xee]
        code += rest.code
    }

    /// The file.
    var elf: [UInt8] {
        var note: [UInt8] = []
        for (owner, type, content) in notes {
            note.append(little: UInt32(owner.utf8.count + 1))
            note.append(little: UInt32(content.count))
            note.append(little: type)
            note += Array(owner.utf8) + [0]
            note += [UInt8](repeating: 0, count: (4 - note.count % 4) % 4)
            note += content
            note += [UInt8](repeating: 0, count: (4 - note.count % 4) % 4)
        }
        var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
        bytes.append(little: UInt16(2))
        bytes.append(little: UInt16(62))
        bytes.append(little: UInt32(1))
        bytes.append(little: TinyKernel.address)
        bytes.append(little: UInt64(64))
        bytes.append(little: UInt64(0))
        bytes.append(little: UInt32(0))
        for half in [64, 56, 2, 0, 0, 0] as [UInt16] { bytes.append(little: half) }
        let start = UInt64(0x1000)
        for (type, offset, size, memory) in [
            (UInt32(1), start, UInt64(code.count), UInt64(code.count) + blank),
            (UInt32(4), start + UInt64(code.count), UInt64(note.count), UInt64(note.count)),
        ] {
            bytes.append(little: type)
            bytes.append(little: UInt32(7))
            for word in [offset, TinyKernel.address, TinyKernel.address, size, memory, 0x1000] as [UInt64] {
                bytes.append(little: word)
            }
        }
        bytes += [UInt8](repeating: 0, count: 0x1000 - bytes.count)
        return bytes + code + note
    }
}

/// A file in memory; the descriptor's owner is the value.
func memoryFile(_ bytes: [UInt8]) throws(UrsaError) -> OwnedFD {
    let fd = OwnedFD(try check(clinux_memfd("test"), "make a file in memory"))
    try fd.writeAll(bytes, to: "a file in memory")
    return fd
}

/// Whether bare guests can run here.
let hasKVM = access("/dev/kvm", R_OK | W_OK) == 0
