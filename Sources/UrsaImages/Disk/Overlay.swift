import Glibc
public import UrsaBase
import UrsaDisk

/// The disk of one machine: a qcow2 file that holds what differs from its image's disk.
public enum Overlay {
    /// Makes the disk of a machine.
    ///
    /// The file is made under another name and renamed, so a killed command leaves no half disk. It belongs to the caller
    /// and only the caller may read it (mode 0600).
    ///
    /// - Parameters:
    ///   - path: the new file; an existing one is an error.
    ///   - base: the image under it; nil makes an empty disk.
    ///   - size: size that the guest sees, rounded up to 512 bytes; nil takes the base's. Never below the base's.
    /// - Throws: `.conflict` when `path` exists, `.invalidSpec` when the size does not fit the base.
    public static func create(path: String, base: Image?, size: ByteCount?) throws(UrsaError) {
        guard !File.exists(path) else {
            throw UrsaError(.conflict, "there is a disk already", place: path)
        }
        let target = Path.absolute(path)
        if let disk = base?.disk {
            if let size, size < disk.virtualSize {
                throw UrsaError(
                    .invalidSpec, "a disk of \(size) is smaller than the image's \(disk.virtualSize)", place: target,
                    remedy: "ask for \(disk.virtualSize) or more, or leave the size out")
            }
        }
        guard let wanted = size ?? base?.disk?.virtualSize else {
            throw UrsaError(.usage, "a disk that is made over nothing needs a size", place: target)
        }
        var options = Qcow2CreateOptions(size: (wanted.bytes + 511) / 512 * 512)
        options.backingFile = base?.disk.map { Path.absolute($0.path) }
        options.backingFormat = base?.disk?.format.rawValue
        let temporary = target + ".new-\(getpid())-" + hexadecimal((0..<4).map { _ in UInt8.random(in: 0...255) })
        do throws(UrsaError) {
            let fd = try File.open(temporary, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
            let file = try ImageFile(taking: fd, name: target, ImageFile.Options(writable: true))
            try Qcow2Image.create(file, options).close()
            try check(chmod(temporary, 0o600) == 0 ? 0 : -errno, "protect \(target)")
            // link(2) refuses to replace, so of two commands at once one is told.
            guard link(temporary, target) == 0 else {
                let error = Errno.current
                if error.code == EEXIST { throw UrsaError(.conflict, "there is a disk already", place: target) }
                throw UrsaError.system(error, "make the disk \(target)")
            }
        } catch {
            unlink(temporary)
            throw error
        }
        unlink(temporary)
    }

    /// Size of the disk in a machine's qcow2 file that the guest sees, from its header.
    public static func virtualSize(_ path: String) throws(UrsaError) -> ByteCount {
        let fd = try File.open(path, O_RDONLY)
        var header = [UInt8](repeating: 0, count: 512)
        let count = try retrying("read \(path)") { pread(fd.raw, &header, header.count, 0) }
        guard count >= 72, header.has([0x51, 0x46, 0x49, 0xfb], at: 0),
            let size = header.bigEndian(UInt64.self, at: 24), size <= UInt64(Int64.max)
        else { throw UrsaError(.io, "this is no qcow2 disk", place: path) }
        return ByteCount(size)
    }
}
