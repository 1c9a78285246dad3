public import UrsaBase

/// The header of a qcow2 image with its extensions, as it lies in the first cluster (QEMU, docs/interop/qcow2.txt).
public struct Qcow2Header: Sendable {
    /// A header extension; those that are unknown here are kept as they are.
    public struct Extension: Sendable, Equatable {
        /// What it is.
        public var type: UInt32
        /// Its bytes.
        public var data: [UInt8]

        static let end: UInt32 = 0
        static let backingFormat: UInt32 = 0xe279_2aca
        static let featureNames: UInt32 = 0x6803_f857
        static let bitmaps: UInt32 = 0x2385_2875
        static let encryption: UInt32 = 0x0537_be77
        static let dataFile: UInt32 = 0x4441_5441
    }

    static let magic: UInt32 = 0x5146_49fb

    /// 2 or 3.
    public var version: UInt32 = 3
    /// log2 of the cluster size.
    public var clusterBits: UInt32 = 16
    /// Bytes of the disk.
    public var size: UInt64 = 0
    /// Method of encryption, 0 for none.
    public var encryption: UInt32 = 0
    /// Entries of the active L1 table.
    public var l1Size: UInt32 = 0
    /// Where the active L1 table lies.
    public var l1Offset: UInt64 = 0
    /// Where the refcount table lies.
    public var refcountTableOffset: UInt64 = 0
    /// Clusters of the refcount table.
    public var refcountTableClusters: UInt32 = 0
    /// How many internal snapshots there are.
    public var snapshotCount: UInt32 = 0
    /// Where the snapshot table lies.
    public var snapshotsOffset: UInt64 = 0
    /// Feature bits that a reader must know.
    public var incompatible: UInt64 = 0
    /// Feature bits that may be ignored.
    public var compatible: UInt64 = 0
    /// Feature bits that a writer who doesn't know them must clear.
    public var autoclear: UInt64 = 0
    /// log2 of the bits of a refcount.
    public var refcountOrder: UInt32 = 4
    /// How compressed clusters are compressed: 0 zlib, 1 zstd.
    public var compressionType: UInt8 = 0
    /// Header bytes after the fields known here, kept as they are.
    public var further: [UInt8] = []
    /// In the order of the image.
    public var extensions: [Extension] = []
    /// The name as it stands in the image: relative to the image's own folder, or absolute, or `json:` or a protocol.
    public var backingFile: String?

    /// Bytes of the fields, where the extensions begin: 72 for version 2, 104 or more for version 3.
    var length = 112
    /// Where the backing file's name lies in the image now.
    var namePlace: (offset: UInt64, length: UInt32) = (0, 0)

    var geometry: Qcow2Geometry {
        Qcow2Geometry(
            clusterBits: Int(clusterBits), extendedL2: incompatible & Qcow2Features.extendedL2 != 0,
            refcountOrder: Int(refcountOrder))
    }

    // ---- extensions -------------------------------------------------------------------------------------------------

    func data(of type: UInt32) -> [UInt8]? { extensions.first { $0.type == type }?.data }

    mutating func set(_ type: UInt32, _ data: [UInt8]?) {
        if let index = extensions.firstIndex(where: { $0.type == type }) {
            if let data { extensions[index].data = data } else { extensions.remove(at: index) }
        } else if let data {
            extensions.append(Extension(type: type, data: data))
        }
    }

    /// The format of the backing image, when the image states it.
    public var backingFormat: String? {
        get { data(of: Extension.backingFormat).map { String(decoding: $0, as: UTF8.self) } }
        set { set(Extension.backingFormat, newValue.map { Array($0.utf8) }) }
    }

    /// The name of the external data file, when the image states it.
    public var dataFile: String? {
        get { data(of: Extension.dataFile).map { String(decoding: $0, as: UTF8.self) } }
        set { set(Extension.dataFile, newValue.map { Array($0.utf8) }) }
    }

    /// Whether guest data lies in another file.
    public var hasDataFile: Bool { incompatible & Qcow2Features.externalDataFile != 0 }
    /// Whether that file reads as a raw image by itself.
    public var dataFileIsRaw: Bool { autoclear & Qcow2Features.rawExternalData != 0 }
    /// How compressed clusters are compressed.
    public var compression: Qcow2Compression { Qcow2Compression(rawValue: compressionType) ?? .zlib }

    // ---- reading ----------------------------------------------------------------------------------------------------

    /// Whether bytes begin as a qcow2 image does.
    public static func recognises(_ start: [UInt8]) -> Bool {
        guard start.bigEndian(0, as: UInt32.self) == magic, let version = start.bigEndian(4, as: UInt32.self) else {
            return false
        }
        return version >= 2
    }

    /// Reads and checks the header of an image. Nothing that it refers to is read.
    public static func read(_ file: ImageFile) throws(UrsaError) -> Qcow2Header {
        let first = try file.bytes(at: 0, count: Int(min(file.size, 4096)))
        guard recognises(first), first.count >= 72 else {
            throw UrsaError(.unsupported, "\(file.name) is not a qcow2 image", remedy: "name its format")
        }
        var header = Qcow2Header()
        func number<T: FixedWidthInteger>(_ offset: Int) -> T { first.bigEndian(offset) ?? 0 }
        header.version = number(4)
        guard header.version <= 3 else {
            throw UrsaError(.unsupported, "\(file.name) is qcow2 of version \(header.version), known are 2 and 3")
        }
        header.clusterBits = number(20)
        guard Qcow2Geometry.clusterBitsRange.contains(Int(header.clusterBits)) else {
            throw header.wrong(file, "clusters of 2^\(header.clusterBits) bytes; possible are 2^9 to 2^21")
        }
        header.size = number(24)
        header.encryption = number(32)
        header.l1Size = number(36)
        header.l1Offset = number(40)
        header.refcountTableOffset = number(48)
        header.refcountTableClusters = number(56)
        header.snapshotCount = number(60)
        header.snapshotsOffset = number(64)
        var length = 72
        if header.version >= 3 {
            guard first.count >= 104 else { throw header.wrong(file, "\(first.count) bytes of header") }
            header.incompatible = number(72)
            header.compatible = number(80)
            header.autoclear = number(88)
            header.refcountOrder = number(96)
            let claimed: UInt32 = number(100)
            guard claimed >= 104, claimed % 8 == 0, UInt64(claimed) <= 1 << UInt64(header.clusterBits) else {
                throw header.wrong(file, "a header of \(claimed) bytes")
            }
            length = Int(claimed)
            guard header.refcountOrder <= 6 else {
                throw header.wrong(file, "refcounts of 2^\(header.refcountOrder) bits; possible are 1 to 64")
            }
        }
        let area = try file.bytes(at: 0, count: Int(min(file.size, 1 << UInt64(header.clusterBits))))
        guard area.count >= length else { throw header.wrong(file, "a header of \(length) bytes in a shorter file") }
        header.length = length
        if length > 104 { header.compressionType = area[104] }
        if length > 112 { header.further = Array(area[112..<length]) }

        let nameOffset: UInt64 = number(8)
        let nameLength: UInt32 = number(16)
        try header.readExtensions(area, from: length, to: nameOffset, file)
        if nameOffset != 0 {
            guard nameLength <= 1023, nameOffset <= UInt64(area.count),
                UInt64(nameLength) <= UInt64(area.count) - nameOffset
            else {
                throw header.wrong(file, "a backing file's name of \(nameLength) bytes at offset \(nameOffset)")
            }
            if nameLength > 0 {
                let start = Int(nameOffset)
                header.backingFile = String(decoding: area[start..<(start + Int(nameLength))], as: UTF8.self)
                header.namePlace = (nameOffset, nameLength)
            }
        }
        try header.check(file)
        return header
    }

    private mutating func readExtensions(
        _ area: [UInt8], from start: Int, to nameOffset: UInt64, _ file: ImageFile
    ) throws(UrsaError) {
        var offset = start
        let end = nameOffset == 0 ? area.count : Int(min(nameOffset, UInt64(area.count)))
        while offset <= end - 8, let type: UInt32 = area.bigEndian(offset), type != Extension.end {
            let length = Int(area.bigEndian(offset + 4, as: UInt32.self) ?? 0)
            offset += 8
            guard length <= end - offset else {
                throw wrong(file, "a header extension of \(length) bytes at offset \(offset - 8)")
            }
            extensions.append(Extension(type: type, data: Array(area[offset..<(offset + length)])))
            guard extensions.count <= 1024 else { throw wrong(file, "more than 1024 header extensions") }
            offset += (length + 7) & ~7
        }
    }

    /// What must hold of the header by itself.
    private func check(_ file: ImageFile) throws(UrsaError) {
        let unknown = incompatible & ~Qcow2Features.knownIncompatible
        if unknown != 0 {
            let table = data(of: Extension.featureNames)
            let names = (0..<64).filter { unknown >> UInt64($0) & 1 != 0 }
                .map { Qcow2Features.name(ofIncompatible: $0, in: table) }
            throw UrsaError(
                .unsupported, "\(file.name) uses qcow2 features unknown here: \(names.joined(separator: ", "))",
                remedy: "use a newer program for this image")
        }
        switch encryption {
        case 0: break
        case 1: throw encrypted(file, "AES")
        case 2: throw encrypted(file, "LUKS")
        default: throw wrong(file, "encryption method \(encryption)")
        }
        guard let compression = Qcow2Compression(rawValue: compressionType) else {
            throw UrsaError(.unsupported, "\(file.name) uses the unknown compression type \(compressionType)")
        }
        guard (incompatible & Qcow2Features.compressionType != 0) == (compression != .zlib) else {
            throw wrong(file, "a compression type that its feature bits contradict")
        }
        let geometry = geometry
        if geometry.hasSubclusters, clusterBits < 14 {
            throw wrong(file, "extended L2 entries with clusters of \(geometry.clusterSize) bytes; 16384 are the least")
        }
        if dataFileIsRaw, !hasDataFile { throw wrong(file, "raw external data without an external data file") }
        if hasDataFile, snapshotCount > 0 { throw wrong(file, "snapshots together with an external data file") }
        func aligned(_ offset: UInt64) -> Bool { offset & (geometry.clusterSize - 1) == 0 && offset < 1 << 62 }
        guard UInt64(l1Size) * 8 <= Qcow2Geometry.largestL1 else {
            throw wrong(file, "an L1 table of \(l1Size) entries; 4194304 are the most")
        }
        guard size <= UInt64(Int64.max), geometry.l1Entries(for: size) <= UInt64(l1Size) else {
            throw wrong(file, "an L1 table of \(l1Size) entries, too small for a disk of \(size) bytes")
        }
        guard l1Size == 0 || (aligned(l1Offset) && l1Offset != 0) else {
            throw wrong(file, "an L1 table at offset \(l1Offset)")
        }
        guard aligned(refcountTableOffset), refcountTableOffset != 0 else {
            throw wrong(file, "a refcount table at offset \(refcountTableOffset)")
        }
        guard refcountTableClusters > 0,
            UInt64(refcountTableClusters) << UInt64(clusterBits) <= Qcow2Geometry.largestRefcountTable
        else {
            throw wrong(file, "a refcount table of \(refcountTableClusters) clusters; 8 MiB are the most")
        }
        guard snapshotCount <= 65536, snapshotCount == 0 || aligned(snapshotsOffset) else {
            throw wrong(file, "\(snapshotCount) snapshots at offset \(snapshotsOffset)")
        }
    }

    private func encrypted(_ file: ImageFile, _ method: String) -> UrsaError {
        UrsaError(
            .unsupported, "\(file.name) is encrypted (\(method)), which is not read here",
            remedy: "decrypt it with qemu-img convert --image-opts and a secret object")
    }

    func wrong(_ file: ImageFile, _ what: String) -> UrsaError {
        UrsaError(.unsupported, "\(file.name) is damaged: its qcow2 header tells of \(what)")
    }

    // ---- writing ----------------------------------------------------------------------------------------------------

    /// The fields alone, which lie in the image's first sector: to be written where extensions and names stay.
    func encodedFields() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendBigEndian(Qcow2Header.magic)
        bytes.appendBigEndian(version)
        bytes.appendBigEndian(namePlace.offset)
        bytes.appendBigEndian(namePlace.length)
        bytes.appendBigEndian(clusterBits)
        bytes.appendBigEndian(size)
        bytes.appendBigEndian(encryption)
        bytes.appendBigEndian(l1Size)
        bytes.appendBigEndian(l1Offset)
        bytes.appendBigEndian(refcountTableOffset)
        bytes.appendBigEndian(refcountTableClusters)
        bytes.appendBigEndian(snapshotCount)
        bytes.appendBigEndian(snapshotsOffset)
        guard version >= 3 else { return bytes }
        bytes.appendBigEndian(incompatible)
        bytes.appendBigEndian(compatible)
        bytes.appendBigEndian(autoclear)
        bytes.appendBigEndian(refcountOrder)
        bytes.appendBigEndian(UInt32(length))
        if length > 104 { bytes += [compressionType, 0, 0, 0, 0, 0, 0, 0] + further }
        return bytes
    }

    /// The fields, the extensions and the backing file's name, as they lie at the start of the image; finds the name's
    /// place. A full first cluster is an error.
    mutating func encoded(for file: String) throws(UrsaError) -> [UInt8] {
        var rest: [UInt8] = []
        for item in extensions {
            rest.appendBigEndian(item.type)
            rest.appendBigEndian(UInt32(item.data.count))
            rest += item.data + [UInt8](repeating: 0, count: (8 - item.data.count % 8) % 8)
        }
        rest += [UInt8](repeating: 0, count: 8)
        namePlace = (0, 0)
        if let backingFile {
            let name = Array(backingFile.utf8)
            guard name.count <= 1023 else {
                throw UrsaError(.usage, "the backing file's name has \(name.count) bytes; 1023 are the most")
            }
            namePlace = (UInt64(length + rest.count), UInt32(name.count))
            rest += name
        }
        let bytes = encodedFields() + rest
        guard UInt64(bytes.count) <= 1 << UInt64(clusterBits) else {
            throw UrsaError(
                .usage, "the header of \(file) needs \(bytes.count) bytes, but its clusters have \(1 << clusterBits)",
                remedy: "use larger clusters or a shorter backing file name")
        }
        return bytes
    }
}
