import Glibc
public import UrsaBase

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
        var arguments = ["create", "-q", "-f", "qcow2"]
        if let disk = base?.disk {
            if let size, size < disk.virtualSize {
                throw UrsaError(
                    .invalidSpec, "a disk of \(size) is smaller than the image's \(disk.virtualSize)", place: target,
                    remedy: "ask for \(disk.virtualSize) or more, or leave the size out")
            }
            arguments += ["-F", disk.format.rawValue, "-b", Path.absolute(disk.path)]
        } else if size == nil {
            throw UrsaError(.usage, "a disk that is made over nothing needs a size", place: target)
        }
        // Not to be mistaken for an option or a protocol: an absolute path with the file protocol named.
        let temporary = target + ".new-\(getpid())-" + hexadecimal((0..<4).map { _ in UInt8.random(in: 0...255) })
        arguments.append(temporary)
        if let wanted = size ?? base?.disk?.virtualSize { arguments.append("\((wanted.bytes + 511) / 512 * 512)") }
        do throws(UrsaError) {
            try Program("qemu-img", arguments).require("make the disk \(target)", seconds: 60)
            try check(chmod(temporary, 0o600) == 0 ? 0 : -errno, "protect \(target)")
            let fd = try File.open(temporary, O_RDONLY)
            try retrying("write \(target) to the disk") { fdatasync(fd.raw) }
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
