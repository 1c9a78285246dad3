import Glibc
import UrsaBase
import UrsaDisk

/// A raw or qcow2 image that is being made: under a name of its own until it is whole.
struct NewImage {
    private let path: String
    private let options: CreationOptions
    private let size: UInt64

    /// An image that is to be.
    ///
    /// - Parameter size: of the disk in bytes, a multiple of 512.
    init(_ path: String, _ options: CreationOptions, size: UInt64) {
        self.path = path
        self.options = options
        self.size = size
    }

    /// Makes an empty image. On what is no plain file, such as a block device, it is made in place.
    func makeEmpty() throws(UrsaError) {
        guard ImageCopy.isReplaceable(path) else {
            let device = try ImageFile(path, .init(writable: true))
            guard options.format == .qcow2 else {
                guard device.size >= size else {
                    throw UrsaError(.conflict, "the device has only \(device.size) bytes", place: path)
                }
                return
            }
            return try create(device)
        }
        try makeFilled(durable: false) { (_) throws(UrsaError) in }
    }

    /// Makes an image and fills it.
    ///
    /// - Parameters:
    ///   - durable: wait until it is on stable storage.
    ///   - fill: is given the path of the unfinished image.
    func makeFilled(durable: Bool, _ fill: (String) throws(UrsaError) -> Void) throws(UrsaError) {
        try ImageDoor.checkUnused(path)
        let file = try UnfinishedFile(path)
        var settings = ImageFile.Options(writable: true)
        // Nothing of it counts before it is whole.
        settings.syncs = false
        do throws(UrsaError) {
            try create(try ImageFile.create(file.path, settings))
        } catch {
            file.discard()
            throw named(error, file)
        }
        do throws(UrsaError) { try fill(file.path) } catch { throw named(error, file) }
        try file.finish(durable: durable)
    }

    /// An error that names the image and not its unfinished file.
    private func named(_ error: UrsaError, _ file: UnfinishedFile) -> UrsaError {
        var error = error
        error.message = error.message.replacing(file.path, with: path)
        return error
    }

    private func create(_ file: ImageFile) throws(UrsaError) {
        guard options.format == .qcow2 else {
            let preallocation = options.preallocation ?? .off
            _ = try RawImage.create(file, size: size, preallocation: preallocation)
            return
        }
        var wanted = Qcow2CreateOptions(size: size)
        wanted.version = options.isOld ? 2 : 3
        wanted.clusterSize = options.clusterSize
        wanted.refcountBits = options.refcountBits
        wanted.extendedL2 = options.extendedL2
        wanted.lazyRefcounts = options.lazyRefcounts
        wanted.compression = options.compression
        wanted.preallocation = options.preallocation ?? .off
        wanted.backingFile = options.backingFile
        wanted.backingFormat = options.backingFormat
        wanted.dataFile = options.dataFile
        wanted.dataFileRaw = options.dataFileIsRaw
        let data = try options.dataFile.map { (name) throws(UrsaError) in
            try ImageFile.create(ImageDoor.beside(path, name))
        }
        try Qcow2Image.create(file, wanted, dataFile: data).close()
    }
}
