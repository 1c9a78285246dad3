import UrsaBase

/// The formats that are only read: who recognises a file, and who reads it.
enum FormatReaders {
    static func recognise(_ start: [UInt8], _ file: ImageFile) throws(UrsaError) -> DiskFormat? { nil }

    static func open(_ file: ImageFile, _ format: DiskFormat) throws(UrsaError) -> any DiskReader {
        throw UrsaError(.unsupported, "\(file.name): the format \(format.rawValue) is not read here")
    }
}
