import UrsaBase

/// The structures in the first mebibyte of a vhdx file ([MS-VHDX] 2.2): two headers, of which the one with the higher
/// number counts, and two copies of the table of regions.
struct VHDXHeader {
    /// Place and length of the log; the id is all zeros when there is nothing to replay.
    var logOffset: UInt64
    var logLength: UInt64
    var logID: [UInt8]
    private var number: UInt64

    private static let places: [UInt64] = [64 << 10, 128 << 10]

    /// Reads the header that counts.
    init(_ file: any ByteSource) throws(UrsaError) {
        var best: VHDXHeader?
        for place in Self.places {
            let fields = try file.structure("header", of: .vhdx, at: place, count: 4096)
            guard fields.says("head"), CRC32C.of(fields.bytes) == fields.little32(4), fields.little16(66) == 1 else {
                continue
            }
            let header = VHDXHeader(fields)
            if best.map({ header.number > $0.number }) ?? true { best = header }
        }
        guard let best else {
            throw file.damaged(.vhdx, "neither of its headers is valid", at: Self.places[0])
        }
        self = best
    }

    private init(_ fields: Fields) {
        number = fields.little64(8)
        logID = Array(fields.bytes[48..<64])
        logLength = UInt64(fields.little32(68))
        logOffset = fields.little64(72)
    }
}

/// Where the parts of a vhdx file are.
struct VHDXRegions {
    /// A part of the file.
    struct Region {
        var offset: UInt64
        var length: UInt64
    }
    /// The table of blocks.
    var table: Region
    /// What describes the disk.
    var metadata: Region

    private static let tableID = guid("2DC27766-F623-4200-9D64-115E9BFD4A08")
    private static let metadataID = guid("8B7CA206-4790-4B9A-B8FE-575F050F886E")
    private static let places: [UInt64] = [192 << 10, 256 << 10]

    /// Reads the table of regions, or its copy where that is damaged.
    init(_ file: any ByteSource) throws(UrsaError) {
        for place in Self.places {
            let fields = try file.structure("table of regions", of: .vhdx, at: place, count: 64 << 10)
            guard fields.says("regi"), CRC32C.of(fields.bytes) == fields.little32(4) else { continue }
            try self.init(fields, file, place)
            return
        }
        throw file.damaged(.vhdx, "neither of its tables of regions is valid", at: Self.places[0])
    }

    private init(_ fields: Fields, _ file: any ByteSource, _ place: UInt64) throws(UrsaError) {
        let count = Int(fields.little32(8))
        guard count <= 2047 else { throw file.damaged(.vhdx, "it has \(count) regions", at: place) }
        var found: [[UInt8]: Region] = [:]
        for index in 0..<count {
            let entry = 16 + index * 32
            let id = Array(fields.bytes[entry..<entry + 16])
            let region = Region(offset: fields.little64(entry + 16), length: UInt64(fields.little32(entry + 24)))
            guard found.updateValue(region, forKey: id) == nil else {
                throw file.damaged(.vhdx, "two of its regions are of one kind", at: place)
            }
            let isKnown = id == Self.tableID || id == Self.metadataID
            guard isKnown || fields.little32(entry + 28) & 1 == 0 else {
                throw file.refused(.vhdx, "it needs a region of an unknown kind")
            }
            guard !isKnown || file.holds(region.length, at: region.offset) else {
                throw file.damaged(.vhdx, "a region of \(region.length) bytes passes the end", at: region.offset)
            }
        }
        guard let table = found[Self.tableID], let metadata = found[Self.metadataID] else {
            throw file.damaged(.vhdx, "it lacks the table of blocks or the metadata", at: place)
        }
        self.table = table
        self.metadata = metadata
    }
}

/// What a vhdx file says of its disk ([MS-VHDX] 2.6).
struct VHDXMetadata {
    var blockSize: UInt64
    var diskSize: UInt64
    var sectorSize: UInt64
    var hasParent: Bool

    private static let parameters = guid("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")
    private static let size = guid("2FA54224-CD1B-4876-B211-5DBED83BF4B8")
    private static let sector = guid("8141BF1D-A96F-4709-BA47-F233A8FAAB5F")
    private static let known: Set<[UInt8]> = [
        parameters, size, sector,
        guid("BECA12AB-B2E6-4523-93EF-C309E000C746"),  // the disk's id
        guid("CDA348C7-445D-4471-9CC9-E9885251C556"),  // physical sector size
        guid("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C"),  // where the parent is
    ]

    init(_ file: any ByteSource, _ region: VHDXRegions.Region) throws(UrsaError) {
        let table = try file.structure("metadata table", of: .vhdx, at: region.offset, count: 64 << 10)
        guard table.says("metadata") else {
            throw file.damaged(.vhdx, "its metadata table is not there", at: region.offset)
        }
        let count = Int(table.little16(10))
        guard count <= 2047 else { throw file.damaged(.vhdx, "it has \(count) items of metadata", at: region.offset) }
        var items: [[UInt8]: UInt64] = [:]
        for index in 0..<count {
            let entry = 32 + index * 32
            let id = Array(table.bytes[entry..<entry + 16])
            guard items.updateValue(UInt64(table.little32(entry + 16)), forKey: id) == nil else {
                throw file.damaged(.vhdx, "two items of its metadata are of one kind", at: region.offset)
            }
            guard Self.known.contains(id) || table.little32(entry + 24) & 4 == 0 else {
                throw file.refused(.vhdx, "it needs metadata of an unknown kind")
            }
        }
        func item(_ id: [UInt8], _ name: String, _ count: Int) throws(UrsaError) -> Fields {
            guard let offset = items[id] else { throw file.damaged(.vhdx, "its metadata lacks the \(name)") }
            return try file.structure(name, of: .vhdx, at: region.offset + offset, count: count)
        }
        let parameters = try item(Self.parameters, "block size", 8)
        blockSize = UInt64(parameters.little32(0))
        hasParent = parameters.little32(4) & 2 != 0
        diskSize = try item(Self.size, "disk size", 8).little64(0)
        sectorSize = UInt64(try item(Self.sector, "sector size", 4).little32(0))
    }
}

/// The bytes of an id in Microsoft's order: the first three groups have their least significant byte first.
private func guid(_ text: String) -> [UInt8] {
    let groups = text.split(separator: "-").map { group in
        stride(from: 0, to: group.count, by: 2).map { index in
            let start = group.index(group.startIndex, offsetBy: index)
            return UInt8(group[start...].prefix(2), radix: 16) ?? 0
        }
    }
    return groups.enumerated().flatMap { $0.offset < 3 ? $0.element.reversed() : $0.element }
}
