import UrsaBase

/// The images of other programs, which are read and never written: told by their first bytes, opened by their format.
enum ForeignImage {
    /// Bytes of a file's beginning that `format` wants to see.
    static let probeLength = 512

    /// The format of a file that begins with `header` (as much of 512 bytes as the file has); nil for none of these.
    /// Some can't be told so: fixed vpc disks and dmg, which begin with data, and cloop with a script of its own.
    static func format(of header: [UInt8]) -> DiskFormat? {
        if QcowReader.recognises(header) { return .qcow }
        if VMDKReader.recognises(header) { return .vmdk }
        if VDIReader.recognises(header) { return .vdi }
        if VPCReader.recognises(header) { return .vpc }
        if VHDXReader.recognises(header) { return .vhdx }
        if ParallelsReader.recognises(header) { return .parallels }
        if BochsReader.recognises(header) { return .bochs }
        if CloopReader.recognises(header) { return .cloop }
        return nil
    }

    /// The other files that an image names, as it names them: the one it was made over, or those that hold its data.
    /// They are whatever the image says: whoever opens them decides whether they may be.
    static func names(in file: any ByteSource, format: DiskFormat) throws(UrsaError) -> [String] {
        switch format {
        case .qcow: try QcowReader.backingName(of: file).map { [$0] } ?? []
        case .vmdk: try VMDKReader.companions(of: file)
        default: []
        }
    }

    /// Opens an image for reading.
    /// - Parameters:
    ///   - backing: what a qcow image was made over, when `names` says one.
    ///   - alone: opens an image without what it was made over, which then reads as zeros.
    ///   - companions: the files that `names` says of a vmdk image, open, in that order.
    /// - Throws: what is wrong or not done here, with file, structure and offset.
    static func open(
        _ file: any ByteSource, format: DiskFormat, backing: (any DiskReader)? = nil,
        alone: Bool = false, companions: [any ByteSource] = []
    ) throws(UrsaError) -> any DiskReader {
        switch format {
        case .qcow: try QcowReader(file: file, backing: backing, alone: alone)
        case .vmdk: try VMDKReader(file: file, companions: companions)
        case .vdi: try VDIReader(file: file)
        case .vpc: try VPCReader(file: file)
        case .vhdx: try VHDXReader(file: file)
        case .parallels: try ParallelsReader(file: file)
        case .dmg: try DMGReader(file: file)
        case .cloop: try CloopReader(file: file)
        case .bochs: try BochsReader(file: file)
        case .raw, .qcow2: throw UrsaError(.bug, "\(format.rawValue) is not a foreign format")
        }
    }
}
