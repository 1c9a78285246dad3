import CLinux
public import UrsaBase

/// Copies disks into images: the whole content, holes as holes, on all processors.
public enum Conversion {
    /// Fills a new image that was made a moment ago, with nothing in it.
    ///
    /// - Parameters:
    ///   - path: the image's file.
    ///   - upper: what counts of the source where the image is made over another; what it says nothing of is left to that.
    ///   - compress: compress clusters (qcow2).
    public static func fill(
        _ path: String, format: DiskFormat, from source: any DiskReader, upper: (any DiskReader)? = nil,
        compress: Bool = false, options: CopyOptions = CopyOptions(), progress: ProgressHandler? = nil
    ) throws(UrsaError) {
        let file = try ImageFile(path, .init(writable: true))
        let counter = ProgressCounter("converting", total: source.size, progress)
        if format == .raw {
            if options.sparse != nil, clone(source, file) { return counter.reach(source.size) }
            let target = RawTarget(file, startsAsZeroes: true, sparse: options.sparse)
            return try Copier(source, to: target, size: source.size, options: options, progress: counter).run()
        }
        let header = try Qcow2Header.read(file)
        if Qcow2Stream.fits(header, file) {
            let target = try Qcow2Stream(file, compresses: compress, sparse: options.sparse != nil)
            return try Copier(
                source, extents: upper, to: target, size: source.size, options: options, progress: counter
            )
            .run()
        }
        guard !compress else {
            throw UrsaError(
                .unsupported, "an image that is preallocated or has a data file of its own is not compressed",
                remedy: "leave -c, preallocation or data_file out")
        }
        let data = try header.dataFile.map { (name) throws(UrsaError) in
            try ImageFile(name.hasPrefix("/") ? name : Path.parent(path) + "/" + name, .init(writable: true))
        }
        let image = try Qcow2Image(file: file, header: header, dataFile: data)
        let target = WriterTarget(image, startsAsZeroes: header.backingFile == nil, sparse: options.sparse)
        try Copier(source, extents: upper, to: target, size: source.size, options: options, progress: counter).run()
        try image.close()
    }

    /// Writes over an image that is there. What is longer than the source stays as it is.
    ///
    /// - Parameter isZero: whether the image is known to read as zeros.
    public static func copy(
        _ source: any DiskReader, into writer: any DiskWriter, isZero: Bool, options: CopyOptions = CopyOptions(),
        progress: ProgressHandler? = nil
    ) throws(UrsaError) {
        let target = WriterTarget(writer, startsAsZeroes: isZero, sparse: options.sparse)
        let counter = ProgressCounter("converting", total: source.size, progress)
        try Copier(source, to: target, size: source.size, options: options, progress: counter).run()
    }

    /// Writes over a block device.
    public static func copy(
        _ source: any DiskReader, toDevice device: ImageFile, options: CopyOptions = CopyOptions(),
        progress: ProgressHandler? = nil
    ) throws(UrsaError) {
        let target = RawTarget(device, startsAsZeroes: false, sparse: options.sparse)
        let counter = ProgressCounter("converting", total: source.size, progress)
        try Copier(source, to: target, size: source.size, options: options, progress: counter).run()
    }

    /// Lets the file system share the blocks of a raw image with the new one, where it can.
    private static func clone(_ source: any DiskReader, _ file: ImageFile) -> Bool {
        guard let raw = source as? RawImage, raw.size == file.size, raw.file.size == file.size else { return false }
        return clinux_clone_file(raw.file.descriptor, file.descriptor) == 0
    }
}
