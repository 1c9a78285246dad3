import Glibc
import UrsaBase

@testable import UrsaDisk

/// Takes the steps of a sequence on a real image, by our code or by QEMU's.
struct SequenceRunner {
    let folder: ScratchFolder
    let path: String
    let image: SequenceImage

    func open(writable: Bool) throws(UrsaError) -> Qcow2Image {
        var options = DiskImage.Options()
        options.policy = .trusted
        options.qcow2.l2CacheSize = 64 << 10
        options.qcow2.refcountCacheSize = 16 << 10
        options.syncs = false
        let opened =
            writable
            ? try DiskImage.openForWriting(path, format: .qcow2, options)
            : try DiskImage.open(path, format: .qcow2, options)
        guard let image = opened as? Qcow2Image else { throw UrsaError(.bug, "not qcow2") }
        return image
    }

    // ---- ours -------------------------------------------------------------------------------------------------------

    func take(_ step: SequenceStep, _ image: Qcow2Image, _ compressor: Qcow2Compressor) throws(UrsaError) {
        switch step {
        case .write(let offset, let bytes):
            try withBytes(bytes) { buffer throws(UrsaError) in try image.write(buffer, at: UInt64(offset)) }
        case .zero(let offset, let count, let unmap):
            try image.writeZeroes(at: UInt64(offset), count: UInt64(count), unmap: unmap)
        case .discard(let offset, let count): try image.discard(at: UInt64(offset), count: UInt64(count))
        case .compressed(let offset, let bytes):
            let output = AlignedBuffer(count: bytes.count)
            try withBytes(bytes) { buffer throws(UrsaError) in
                if let count = try Qcow2Image.compress(buffer, into: output.bytes, with: compressor) {
                    try image.writeCompressed(UnsafeRawBufferPointer(output.prefix(count)), at: UInt64(offset))
                } else {
                    let inside = min(bytes.count, Int(image.size) - offset)
                    try image.write(UnsafeRawBufferPointer(rebasing: buffer[..<inside]), at: UInt64(offset))
                }
            }
        case .flush: try image.flush()
        case .snapshot(let name): try image.createSnapshot(name: name)
        case .apply(let name): try image.applySnapshot(name)
        case .delete(let name): try image.deleteSnapshot(name)
        case .resize(let size): try image.resize(to: UInt64(size), preallocation: .off)
        }
    }

    // ---- QEMU's -----------------------------------------------------------------------------------------------------

    /// Takes steps by QEMU's programs: those that qemu-io knows in one process.
    func takeByQemu(_ steps: [SequenceStep]) throws(UrsaError) {
        var commands: [String] = []
        func send(_ commands: inout [String]) throws(UrsaError) {
            if !commands.isEmpty { try QemuTools.io(path, commands, options: ["--cache", "unsafe", "-d", "unmap"]) }
            commands = []
        }
        for step in steps {
            switch step {
            case .write(let offset, let bytes): commands.append("write -q -P \(bytes[0]) \(offset) \(bytes.count)")
            case .zero(let offset, let count, let unmap):
                commands.append("write -q -z \(unmap ? "-u " : "")\(offset) \(count)")
            case .discard(let offset, let count): commands.append("discard -q \(offset) \(count)")
            case .compressed(let offset, let bytes):
                commands.append(
                    "write -q -c -P \(bytes[0]) \(offset) \(bytes.lastIndex { $0 != 0 }.map { $0 + 1 } ?? bytes.count)")
            case .flush: commands.append("flush")
            case .snapshot(let name):
                try send(&commands)
                try QemuTools.img(["snapshot", "-q", "-c", name, path])
            case .apply(let name):
                try send(&commands)
                try QemuTools.img(["snapshot", "-q", "-a", name, path])
            case .delete(let name):
                try send(&commands)
                try QemuTools.img(["snapshot", "-q", "-d", name, path])
            case .resize(let size):
                try send(&commands)
                try QemuTools.img(["resize", "-q", "-f", "qcow2", "--shrink", path, "\(size)"])
            }
        }
        try send(&commands)
    }

    // ---- comparing --------------------------------------------------------------------------------------------------

    /// The whole disk through a reader, and that its extents cover it.
    func content(_ reader: any DiskReader) throws(UrsaError) -> [UInt8] {
        var result = [UInt8](repeating: 0xee, count: Int(reader.size))
        let failure: UrsaError? = result.withUnsafeMutableBytes { buffer in
            do throws(UrsaError) { try reader.read(into: buffer, at: 0) } catch { return error }
            return nil
        }
        if let failure { throw failure }
        return result
    }

    func expect(_ reader: any DiskReader, holds model: [UInt8], _ when: String) throws(UrsaError) {
        guard reader.size == UInt64(model.count) else {
            throw UrsaError(.io, "\(when): the disk has \(reader.size) bytes, should be \(model.count)")
        }
        let found = try content(reader)
        guard found != model else { return }
        let first = zip(found, model).enumerated().first { $0.element.0 != $0.element.1 }
        throw UrsaError(
            .io,
            "\(when): differs from offset \(first?.offset ?? -1): \(first?.element.0 ?? 0) for \(first?.element.1 ?? 0)"
        )
    }

    /// Lets QEMU compare the image with the model, and check it.
    func checkByQemu(_ model: [UInt8], _ when: String) throws(UrsaError) {
        try QemuTools.check(path)
        try File.replace(folder("expected"), model, durable: false)
        let output = try QemuTools.img(
            ["compare", "-f", "qcow2", "-F", "raw", path, folder("expected")], allowed: [0, 1])
        guard output.contains("identical") else { throw UrsaError(.io, "\(when): QEMU reads other bytes: \(output)") }
    }
}

func withBytes(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(UrsaError) -> Void) throws(UrsaError) {
    let failure: UrsaError? = bytes.withUnsafeBytes { buffer in
        do throws(UrsaError) { try body(buffer) } catch { return error }
        return nil
    }
    if let failure { throw failure }
}
