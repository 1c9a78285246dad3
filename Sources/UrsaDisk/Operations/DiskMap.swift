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
        let layers = DiskLayers(image)
        let end = start + min(length, image.size - start)
        var offset = start
        var last: MapEntry?
        while offset < end {
            let entry = try layers.entry(at: offset, limit: end - offset)
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
}

/// The images of a chain, to be asked for what they say of a run.
struct DiskLayers: Sendable {
    private struct Layer: Sendable {
        var image: any DiskReader
        /// The file that data lies in, where its holes count as zeros.
        var sparseFile: ImageFile?
        var dataName: String
    }
    private let layers: [Layer]

    /// An image with all below it.
    init(_ image: any DiskReader) {
        var layers: [Layer] = []
        var next: (any DiskReader)? = image
        while let image = next {
            let qcow2 = image as? Qcow2Image
            let file = qcow2?.dataFile
            let isPreallocated =
                file.map { $0 === qcow2?.file && DiskLayers.looksPreallocated($0, image.clusterSize ?? 65536) } ?? false
            layers.append(
                Layer(image: image, sparseFile: isPreallocated ? file : nil, dataName: file?.name ?? image.name))
            next = image.backing
        }
        self.layers = layers
    }

    /// Whether the file of an image has holes where its tables say data: then all of it was given a place when it was made.
    /// QEMU uses the same threshold.
    private static func looksPreallocated(_ file: ImageFile, _ clusterSize: UInt64) -> Bool {
        let present = file.allocatedSize / clusterSize
        return file.size.dividedUp(by: clusterSize) >= max(present * 10 / 9, present + 2)
    }

    /// The run at an offset, from whichever image of the chain says something of it.
    func entry(at offset: UInt64, limit: UInt64) throws(UrsaError) -> MapEntry {
        var limit = limit
        for (depth, layer) in layers.enumerated() {
            let extent = try layer.image.extent(at: offset, limit: limit)
            limit = max(1, min(limit, extent.length))
            if extent.kind != .unallocated { return said(extent, layer, depth, offset, limit) }
            guard depth + 1 < layers.count, offset < layers[depth + 1].image.size else {
                return MapEntry(
                    start: offset, length: limit, depth: depth, isPresent: false, isZero: true, isData: false,
                    offset: extent.fileOffset, file: extent.fileOffset == nil ? nil : layer.dataName)
            }
            limit = min(limit, layers[depth + 1].image.size - offset)
        }
        throw UrsaError(.bug, "a chain of no images")
    }

    private func said(_ extent: Extent, _ layer: Layer, _ depth: Int, _ offset: UInt64, _ limit: UInt64) -> MapEntry {
        // A raw image's holes have their place in its file, too.
        let place = layer.image.format == .raw ? offset : extent.fileOffset
        var entry = MapEntry(
            start: offset, length: limit, depth: depth, isPresent: true, isZero: extent.kind == .zero,
            isData: extent.kind == .data, offset: place, file: place == nil ? nil : layer.dataName)
        if entry.isData, let file = layer.sparseFile, let place = extent.fileOffset {
            let found = file.hole(at: place, limit: limit)
            entry.isZero = found.isHole
            entry.length = max(1, min(limit, found.length))
        }
        return entry
    }
}
