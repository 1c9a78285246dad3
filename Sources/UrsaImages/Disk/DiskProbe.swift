import Glibc
import UrsaBase
import UrsaDisk

/// What kind of disk image a file is, decided so that no guest or stranger can make it look like another.
///
/// The danger: a qcow2 header may name other files (a backing file, an external data file) which whoever opens the
/// image would then read; and a guest that may write a raw disk can write such a header into it. So images that name
/// other files are refused, a raw image must be declared by its suffix, and formats are never guessed again afterwards.
enum DiskProbe {
    /// What a file is.
    ///
    /// - Throws: `.invalidSpec` when it is neither a plain qcow2 image nor a file declared as raw (`.img`, `.raw`).
    static func probe(_ path: String) throws(UrsaError) -> DiskFile {
        // O_NONBLOCK: opening a pipe by mistake must not wait.
        let fd = try File.open(path, O_RDONLY | O_NONBLOCK)
        var status = stat()
        try retrying("look at \(path)") { fstat(fd.raw, &status) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw UrsaError(.invalidSpec, "an image must be a regular file", place: path)
        }
        var header = [UInt8](repeating: 0, count: 512)
        let count = try retrying("read \(path)") { pread(fd.raw, &header, header.count, 0) }
        header.removeLast(header.count - count)

        if header.has([0x51, 0x46, 0x49, 0xfb], at: 0) {
            guard !path.hasSuffix(".raw") else {
                throw UrsaError(
                    .invalidSpec, "the name says raw, the content says qcow2", place: path,
                    remedy: "rename the file to .qcow2 if that is what it is")
            }
            do { return DiskFile(path: path, format: .qcow2, virtualSize: try qcow2Size(header)) } catch {
                throw error.at(path)
            }
        }
        guard path.hasSuffix(".img") || path.hasSuffix(".raw") else {
            throw UrsaError(
                .invalidSpec, "this is no qcow2 image, and its name does not say that it is raw", place: path,
                remedy: "name a raw disk .img or .raw; convert others with `ursa image convert -O qcow2`")
        }
        guard status.st_size >= 512 else { throw UrsaError(.invalidSpec, "this image is empty", place: path) }
        // A disk has whole sectors; engines round up.
        return DiskFile(path: path, format: .raw, virtualSize: ByteCount((UInt64(status.st_size) + 511) / 512 * 512))
    }

    /// Size of the disk of a qcow2 image by its header; refuses what could reach out of the file.
    static func qcow2Size(_ start: [UInt8]) throws(UrsaError) -> ByteCount {
        func refuse(_ why: String, _ remedy: String? = nil) -> UrsaError {
            UrsaError(.invalidSpec, "this qcow2 image can't be used: \(why)", remedy: remedy)
        }
        let header: Qcow2Header
        do throws(UrsaError) { header = try Qcow2Header.read(ImageFile(bytes: start, name: "the file")) } catch {
            throw refuse(error.message, error.remedy)
        }
        guard header.size > 0, header.size <= UInt64(Int64.max) / 2 else { throw refuse("its disk size is impossible") }
        // A place for a name is a name, even where its length is 0 and readers pass over it.
        guard header.backingFile == nil, start[8..<16].allSatisfy({ $0 == 0 }) else {
            throw refuse("it is made over another file", "flatten it: ursa image convert -O qcow2 OLD NEW")
        }
        guard !header.hasDataFile else {
            throw refuse("its data is in another file", "convert it with `ursa image convert`")
        }
        guard !header.isCorrupt else {
            throw refuse("it is marked corrupt", "try `ursa image check -r all` on a copy")
        }
        return ByteCount(header.size)
    }
}
