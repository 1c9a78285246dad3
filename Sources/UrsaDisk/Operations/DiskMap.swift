public import UrsaBase

/// A run of a disk and where its bytes are, as `map` tells it.
public struct MapEntry: Sendable, Equatable {
    /// First byte on the disk.
    public var start: UInt64
    /// Bytes.
    public var length: UInt64
    /// How many images further down the chain it was found.
    public var depth: Int
    /// Whether an image of the chain says something of it.
    public var isPresent: Bool
    /// Whether it is known to read as zeros.
    public var isZero: Bool
    /// Whether bytes are stored for it.
    public var isData: Bool
    /// Where they begin in `file`, where they are stored as they are.
    public var offset: UInt64?
    /// The file that the offset counts in.
    public var file: String?

    /// Whether the next entry goes on with the same in every respect.
    func joins(_ next: MapEntry) -> Bool {
        guard depth == next.depth, isPresent == next.isPresent, isZero == next.isZero, isData == next.isData,
            file == next.file, (offset == nil) == (next.offset == nil)
        else { return false }
        return offset.map { $0 + length == next.offset } ?? true
    }
}

/// Walks over what a chain of images says of its disk.
public enum DiskMap {
    /// Calls `tell` for every run, joined as far as possible, in order.
    ///
    /// - Parameters:
    ///   - start: where to begin.
    ///   - length: bytes to look at, as far as the disk goes.
    public static func walk(
        _ image: any DiskReader, from start: UInt64 = 0, length: UInt64 = .max,
        _ tell: (MapEntry) throws(UrsaError) -> Void
    ) throws(UrsaError) {
        guard start < image.size else { return }
        let end = start + min(length, image.size - start)
        var offset = start
        var last: MapEntry?
        while offset < end {
            let entry = try entry(image, at: offset, limit: end - offset)
            offset += entry.length
            if let before = last, before.joins(entry) {
                last?.length += entry.length
            } else {
                if let last { try tell(last) }
                last = entry
            }
        }
        if let last { try tell(last) }
    }

    /// The file in which an image keeps its data.
    private static func dataFile(of image: any DiskReader) -> String {
        (image as? Qcow2Image)?.dataFile.name ?? image.name
    }

    /// The run at an offset, from whichever image of the chain says something of it.
    static func entry(_ image: any DiskReader, at offset: UInt64, limit: UInt64) throws(UrsaError) -> MapEntry {
        var image = image
        var limit = limit
        var depth = 0
        while true {
            let extent = try image.extent(at: offset, limit: limit)
            limit = max(1, min(limit, extent.length))
            guard extent.kind == .unallocated else {
                // A raw image's holes have their place in its file too.
                let place = image.format == .raw ? offset : extent.fileOffset
                return MapEntry(
                    start: offset, length: limit, depth: depth, isPresent: true, isZero: extent.kind == .zero,
                    isData: extent.kind == .data, offset: place, file: place == nil ? nil : dataFile(of: image))
            }
            guard let below = image.backing, offset < below.size else {
                return MapEntry(
                    start: offset, length: limit, depth: depth, isPresent: false, isZero: true, isData: false)
            }
            limit = min(limit, below.size - offset)
            image = below
            depth += 1
        }
    }
}
