public import UrsaBase
public import UrsaDisk

/// Opens a disk from descriptors that somebody else has opened: the monitor itself opens nothing by name, and what an image
/// says about other files is never followed.
public enum DiskLayers {
    /// One file of a chain of images.
    public struct Layer: ~Copyable {
        let fd: OwnedFD
        let format: DiskFormat
        let name: String

        /// An open file.
        ///
        /// - Parameters:
        ///   - format: never guessed, because a guest may have written the start of another format.
        ///   - name: for messages.
        public init(_ fd: consuming OwnedFD, format: DiskFormat, name: String) {
            self.fd = fd
            self.format = format
            self.name = name
        }
    }

    /// Opens the last image of a chain: what others rest on.
    public static func openBase(_ layer: consuming Layer) throws(UrsaError) -> any DiskReader {
        try open(layer, over: nil, writable: false, locks: true)
    }

    /// Opens an image that rests on another one and is only read.
    public static func open(_ layer: consuming Layer, over backing: any DiskReader) throws(UrsaError) -> any DiskReader
    {
        try open(layer, over: backing, writable: false, locks: true)
    }

    /// Opens the image that a guest sees, with locks that QEMU understands.
    ///
    /// - Parameter readOnly: the file may then be open for reading only.
    public static func openTop(
        _ layer: consuming Layer, over backing: (any DiskReader)?, readOnly: Bool, locks: Bool = true
    ) throws(UrsaError) -> any DiskWriter {
        try open(layer, over: backing, writable: !readOnly, locks: locks)
    }

    private static func open(
        _ layer: consuming Layer, over backing: (any DiskReader)?, writable: Bool, locks: Bool
    ) throws(UrsaError) -> any DiskWriter {
        let (format, name) = (layer.format, layer.name)
        let file = try ImageFile(taking: layer.fd, name: name, ImageFile.Options(writable: writable))
        if locks {
            try ImageLock.take(file, for: writable ? .writing : format == .raw ? .reading : .readingTables)
        }
        switch format {
        case .raw:
            guard backing == nil else {
                throw UrsaError(.usage, "\(name) is a raw image, which rests on no other")
            }
            return RawImage(file: file)
        case .qcow2:
            let header = try Qcow2Header.read(file)
            guard !header.hasDataFile else {
                throw UrsaError(
                    .unsupported, "\(name) keeps its data in another file", remedy: "use engine: qemu for this machine")
            }
            guard (header.backingFile != nil) == (backing != nil) else {
                throw UrsaError(
                    .usage,
                    backing == nil ? "\(name) rests on an image that was not given" : "\(name) rests on no image")
            }
            return try Qcow2Image(file: file, header: header, backing: backing)
        default:
            throw UrsaError(
                .unsupported, "the native engine has no disks of format \(format.rawValue)",
                remedy: "convert \(name) to qcow2 or raw, or use engine: qemu")
        }
    }
}
