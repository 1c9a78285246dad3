import Glibc
import UrsaBase
import UrsaDisk

/// Opens the images that a command line names.
///
/// The names of a command line are what a person wants opened. Names that stand inside of an image are the image's: they
/// are followed within its own folder, and further only with `--allow`, `--trust-backing` or `URSA_TRUST_BACKING=1`.
struct ImageDoor {
    private let words: ImageWords
    private var options: DiskImage.Options

    /// A door for one command line.
    init(_ words: ImageWords) {
        self.words = words
        options = DiskImage.Options()
        options.policy = ImageDoor.trusts(words) ? .trusted : .untrusted
        options.policy.allowed = Set(words.all("allow").map { Path.absolute($0) })
        options.locks = !words.has("force-share")
        options.direct = ["none", "directsync"].contains(words.value("T") ?? "")
    }

    private static func trusts(_ words: ImageWords) -> Bool {
        if words.has("trust-backing") { return true }
        return getenv("URSA_TRUST_BACKING").map { String(cString: $0) } == "1"
    }

    // MARK: reading

    /// Opens an image with its chain for reading; without a format it is guessed.
    ///
    /// - Parameter snapshot: read this internal snapshot instead, named by name or ID.
    func reader(
        _ name: String, format: String?, snapshot: String? = nil
    ) throws(UrsaError) -> any DiskReader {
        let path = QEMUImage.path(name)
        let image = try DiskImage.open(path, format: try known(format), options)
        guard let snapshot else { return image }
        guard let qcow2 = image as? Qcow2Image else {
            throw words.wrong("'\(printable(name))' is \(image.format.rawValue), which has no snapshots")
        }
        return try qcow2.reader(of: try SnapshotName(snapshot, words).find(qcow2.snapshots(), in: name))
    }

    /// Opens an image alone for reading: what it does not say reads as zeros.
    func alone(_ name: String, format: String?) throws(UrsaError) -> any DiskReader {
        var options = options
        options.withoutBacking = true
        return try DiskImage.open(QEMUImage.path(name), format: try known(format), options)
    }

    private func known(_ format: String?) throws(UrsaError) -> DiskFormat? {
        guard let format else { return nil }
        guard let known = DiskFormat(rawValue: format) else {
            throw words.wrong(
                "there is no format '\(printable(format))'", "write raw or qcow2, or leave it out to have it guessed")
        }
        return known
    }

    // MARK: writing

    /// Opens an image for writing. Raw must be named; qcow2 is taken for what it is.
    func writer(_ name: String, format: String?) throws(UrsaError) -> any DiskWriter {
        try writer(name, format, options)
    }

    /// Opens a qcow2 image for writing without what it is made over.
    func qcow2Alone(_ name: String, format: String?, forRepair: Bool = false) throws(UrsaError) -> Qcow2Image {
        var options = options
        options.withoutBacking = true
        options.qcow2.forRepair = forRepair
        guard let image = try writer(name, format, options) as? Qcow2Image else {
            throw words.wrong("'\(printable(name))' is raw, which has neither snapshots nor an image below it")
        }
        return image
    }

    private func writer(
        _ name: String, _ format: String?, _ options: DiskImage.Options
    ) throws(UrsaError) -> any DiskWriter {
        guard !words.has("force-share") else {
            throw words.wrong("an image is not written while others use it", "leave -U out")
        }
        let path = QEMUImage.path(name)
        return try DiskImage.openForWriting(path, format: try writable(path, format), options)
    }

    /// The format of an image that will be written to: as it was named, else qcow2 where the file says so.
    private func writable(_ path: String, _ format: String?) throws(UrsaError) -> DiskFormat {
        if let known = try known(format) { return known }
        let found = try DiskImage.probe(try ImageFile(path))
        guard found == .raw else { return found }
        throw UrsaError(
            .usage, "the format of an image that is written to is not guessed", place: path,
            remedy: "write -f raw if this is a raw disk")
    }

    /// The format of an image that is to be checked; nil when only qemu-img checks it.
    func checkable(_ name: String, format: String?) throws(UrsaError) -> DiskFormat? {
        if QEMUImage.mustTake(words, read: [(name, format)]) { return nil }
        let path = QEMUImage.path(name)
        if format == nil, ImageDoor.isForeign(path) { return nil }
        let found: DiskFormat
        if let known = try known(format) { found = known } else { found = try DiskImage.probe(try ImageFile(path)) }
        return [.parallels, .vdi, .vhdx, .vmdk].contains(found) ? nil : found
    }

    /// Opens a qcow2 image to be checked, as it is, without what it is made over.
    func checked(_ name: String, writable: Bool) throws(UrsaError) -> Qcow2Image {
        if writable { return try qcow2Alone(name, format: "qcow2", forRepair: true) }
        var options = options
        options.withoutBacking = true
        options.qcow2.forRepair = true
        guard let image = try DiskImage.open(QEMUImage.path(name), format: .qcow2, options) as? Qcow2Image else {
            throw UrsaError(.bug, "a qcow2 image that is none")
        }
        return image
    }

    /// The images of a commit: FILE, and the one below that is written to.
    func committing(_ name: String, format: String?, into base: String?) throws(UrsaError) -> Commit.Chain {
        var options = options
        if let base { options.policy.allowed.insert(Path.absolute(QEMUImage.path(base))) }
        let path = QEMUImage.path(name)
        return try Commit.open(
            path, format: try writable(path, format), into: base.map { QEMUImage.path($0) }, options)
    }

    /// That nobody uses the image that a new one will replace.
    static func checkUnused(_ path: String) throws(UrsaError) {
        guard File.exists(path), let file = try? ImageFile(path, .init(writable: true)) else { return }
        try ImageLock.take(file, for: .writing)
        ImageLock.release(file)
    }

    // MARK: who does it

    /// Whether a call that reads images, and perhaps makes others, is one for qemu-img.
    static func mustTake(
        _ words: ImageWords, read: [(name: String, format: String?)], written: [String] = []
    ) throws(UrsaError) -> Bool {
        if QEMUImage.mustTake(words, read: read, written: written) { return true }
        return read.contains { $0.format == nil && isForeign(QEMUImage.path($0.name)) }
    }

    /// Whether a call that writes to an image is one for qemu-img.
    static func mustTake(
        _ words: ImageWords, written file: (name: String, format: String?)
    ) throws(UrsaError) -> Bool {
        if QEMUImage.mustTake(words, read: [file]) { return true }
        let path = QEMUImage.path(file.name)
        if let format = file.format { return DiskFormat(rawValue: format)?.isWritable != true }
        if isForeign(path) { return true }
        guard let opened = try? ImageFile(path), let format = try? DiskImage.probe(opened) else { return false }
        return !format.isWritable
    }

    /// Whether a file begins like an image of a format that only qemu-img reads.
    private static func isForeign(_ path: String) -> Bool {
        guard let file = try? ImageFile(path), let start = try? file.bytes(at: 0, count: Int(min(8, file.size))) else {
            return false
        }
        return start.starts(with: Array("QED\0".utf8)) || start.starts(with: Array("LUKS".utf8) + [0xba, 0xbe])
    }

    /// Bytes that the bitmaps of an image would take in another; nil where there can't be any.
    static func bitmapBytes(_ image: any DiskReader, clusterSize: UInt64) throws(UrsaError) -> UInt64? {
        guard let image = image as? Qcow2Image, image.currentHeader.version >= 3 else { return nil }
        return try Qcow2BitmapInfo.space(image, clusterSize: clusterSize)
    }

    /// Where a file is that an image at `path` names: beside it, unless the name is absolute.
    static func beside(_ path: String, _ name: String) -> String {
        name.hasPrefix("/") ? name : Path.parent(path) + "/" + name
    }
}
