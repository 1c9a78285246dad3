import UrsaBase

/// A cpio archive in the `newc` form, as the kernel unpacks it into its first root file system.
///
/// Form: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. All times are 0 and all owners root,
/// so the same content always gives the same bytes. A folder must be added before what is in it.
struct CPIOArchive: Sendable {
    /// The archive so far, without its end mark.
    private var bytes: [UInt8] = []
    private var entries: UInt32 = 0

    /// An empty archive.
    init() {}

    /// Adds a folder; `path` has no leading slash.
    mutating func addFolder(_ path: String, mode: UInt32 = 0o755) throws(UrsaError) {
        try add(path, mode: 0o040000 | mode, content: [])
    }

    /// Adds a regular file.
    mutating func addFile(_ path: String, mode: UInt32 = 0o644, _ content: [UInt8]) throws(UrsaError) {
        try add(path, mode: 0o100000 | mode, content: content)
    }

    /// Adds a symbolic link at `path` that leads to `target`.
    mutating func addLink(_ path: String, to target: String) throws(UrsaError) {
        try add(path, mode: 0o120777, content: Array(target.utf8))
    }

    /// The whole archive, ended and padded to 512 bytes.
    func finished() -> [UInt8] {
        var result = bytes
        CPIOArchive.append(&result, name: "TRAILER!!!", number: 0, mode: 0, links: 1, content: [])
        result.append(contentsOf: repeatElement(0, count: (512 - result.count % 512) % 512))
        return result
    }

    private mutating func add(_ path: String, mode: UInt32, content: [UInt8]) throws(UrsaError) {
        // The kernel refuses names over PATH_MAX; sizes are 32 bits wide in this form.
        guard !path.isEmpty, !path.hasPrefix("/"), path.utf8.count < 4095, !path.utf8.contains(0) else {
            throw UrsaError(.bug, "a cpio archive can't hold this name", place: path)
        }
        guard content.count <= Int(UInt32.max) else {
            throw UrsaError(.io, "a cpio archive can't hold a file over 4 GiB", place: path)
        }
        entries += 1
        CPIOArchive.append(
            &bytes, name: path, number: entries, mode: mode, links: mode & 0o040000 != 0 ? 2 : 1, content: content)
    }

    private static func append(
        _ bytes: inout [UInt8], name: String, number: UInt32, mode: UInt32, links: UInt32, content: [UInt8]
    ) {
        // magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
        let fields: [UInt32] = [
            number, mode, 0, 0, links, 0, UInt32(content.count), 0, 0, 0, 0, UInt32(name.utf8.count + 1), 0,
        ]
        bytes.append(contentsOf: "070701".utf8)
        for field in fields {
            for shift in stride(from: UInt32(28), through: 0, by: -4) {
                bytes.append(digits[Int(field >> shift & 15)])
            }
        }
        bytes.append(contentsOf: name.utf8)
        bytes.append(0)
        pad(&bytes)
        bytes.append(contentsOf: content)
        pad(&bytes)
    }

    private static func pad(_ bytes: inout [UInt8]) {
        bytes.append(contentsOf: repeatElement(0, count: (4 - bytes.count % 4) % 4))
    }

    private static let digits = Array("0123456789abcdef".utf8)
}
