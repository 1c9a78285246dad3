import Synchronization
public import UrsaBase

/// What a new qcow2 image is to be like: QEMU's options for creating one.
public struct Qcow2CreateOptions: Sendable {
    /// Size of the disk in bytes; rounded up to whole sectors of 512.
    public var size: UInt64
    /// 2 (`compat=0.10`) or 3 (`compat=1.1`).
    public var version: UInt32 = 3
    /// Bytes, a power of two from 512 to 2 MiB.
    public var clusterSize: UInt64 = 65536
    /// 1, 2, 4, … 64.
    public var refcountBits = 16
    /// Entries with subclusters (`extended_l2`).
    public var extendedL2 = false
    /// Permits to write refcounts late.
    public var lazyRefcounts = false
    /// How compressed clusters will be compressed.
    public var compression = Qcow2Compression.zlib
    /// What is provided for data that is not there yet.
    public var preallocation = Preallocation.off
    /// The backing file's name as the image shall state it, and its format.
    public var backingFile: String?
    /// The backing file's format as the image shall state it.
    public var backingFormat: String?
    /// The external data file's name as the image shall state it.
    public var dataFile: String?
    /// Whether the data file is to read as a raw image by itself.
    public var dataFileRaw = false

    /// The usual image of a size.
    public init(size: UInt64) { self.size = size }

    /// Whether the options can be had together; says which can't.
    public func check() throws(UrsaError) {
        func wrong(_ what: String, _ remedy: String? = nil) -> UrsaError { UrsaError(.usage, what, remedy: remedy) }
        guard clusterSize.nonzeroBitCount == 1,
            Qcow2Geometry.clusterBitsRange.contains(clusterSize.trailingZeroBitCount)
        else {
            throw wrong("a cluster size of \(clusterSize) bytes", "use a power of two from 512 to 2M")
        }
        guard version == 2 || version == 3 else { throw wrong("qcow2 of version \(version)", "use compat=0.10 or 1.1") }
        guard refcountBits.nonzeroBitCount == 1, (1...64).contains(refcountBits) else {
            throw wrong("refcounts of \(refcountBits) bits", "use a power of two from 1 to 64")
        }
        if version < 3 {
            guard refcountBits == 16 else { throw wrong("refcount_bits other than 16", "use compat=1.1") }
            guard !lazyRefcounts else { throw wrong("lazy_refcounts in a version 2 image", "use compat=1.1") }
            guard !extendedL2 else { throw wrong("extended_l2 in a version 2 image", "use compat=1.1") }
            guard compression == .zlib else { throw wrong("zstd in a version 2 image", "use compat=1.1") }
            guard dataFile == nil else { throw wrong("an external data file for a version 2 image", "use compat=1.1") }
        }
        if extendedL2, clusterSize < 16384 {
            throw wrong("extended_l2 with clusters of \(clusterSize) bytes", "use cluster_size=16k or more")
        }
        if dataFileRaw, dataFile == nil { throw wrong("data_file_raw without data_file") }
        if dataFileRaw, backingFile != nil { throw wrong("data_file_raw together with a backing file") }
        if backingFile == nil, backingFormat != nil { throw wrong("a backing format without a backing file") }
        if backingFile != nil, preallocation != .off, !extendedL2 {
            throw wrong("preallocation with a backing file", "use extended_l2=on as well")
        }
        guard size <= UInt64(Int64.max) - 511 else { throw wrong("a disk of \(size) bytes") }
    }
}

extension Qcow2Image {
    /// Makes a new image in a file that is open for writing, replacing what is in it. It is on stable storage then.
    ///
    /// - Parameters:
    ///   - dataFile: the external data file, empty, where the options name one.
    ///   - backing: what the image shall be read through to; may be left out when only creating.
    public static func create(
        _ file: ImageFile, _ wanted: Qcow2CreateOptions, dataFile: ImageFile? = nil,
        backing: (any DiskReader)? = nil, options: Options = Options()
    ) throws(UrsaError) -> Qcow2Image {
        try wanted.check()
        var header = Qcow2Header()
        header.version = wanted.version
        header.length = wanted.version < 3 ? 72 : 112
        header.clusterBits = UInt32(wanted.clusterSize.trailingZeroBitCount)
        header.refcountOrder = UInt32(wanted.refcountBits.trailingZeroBitCount)
        if wanted.lazyRefcounts { header.compatible |= Qcow2Features.lazyRefcounts }
        if wanted.extendedL2 { header.incompatible |= Qcow2Features.extendedL2 }
        if wanted.compression != .zlib {
            header.incompatible |= Qcow2Features.compressionType
            header.compressionType = wanted.compression.rawValue
        }
        if wanted.dataFile != nil { header.incompatible |= Qcow2Features.externalDataFile }
        if wanted.dataFileRaw { header.autoclear |= Qcow2Features.rawExternalData }
        header.backingFile = wanted.backingFile
        header.backingFormat = wanted.backingFile == nil ? nil : wanted.backingFormat
        header.dataFile = wanted.dataFile
        if wanted.version >= 3 { header.set(Qcow2Header.Extension.featureNames, Qcow2Features.nameTable) }
        let size = (wanted.size + 511) & ~511
        let geometry = header.geometry
        let entries = geometry.l1Entries(for: size)
        guard entries * 8 <= Qcow2Geometry.largestL1 else {
            throw UrsaError(
                .usage, "a disk of \(size) bytes is too large for clusters of \(wanted.clusterSize) bytes",
                remedy: "use larger clusters")
        }
        // Names of features are a courtesy: the smallest clusters may have no room for them.
        do throws(UrsaError) { _ = try header.encoded(for: file.name) } catch {
            header.set(Qcow2Header.Extension.featureNames, nil)
            _ = try header.encoded(for: file.name)
        }

        // The least that counts itself: header, refcount table, one refcount block. The rest is allocated in it.
        if !file.isBlockDevice { try file.resize(to: 0) }
        let cluster = Int(wanted.clusterSize)
        header.refcountTableOffset = wanted.clusterSize
        header.refcountTableClusters = 1
        var start = [UInt8](repeating: 0, count: 3 * cluster)
        start.storeBigEndian(2 * wanted.clusterSize, at: cluster)
        start.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            for index in 0..<3 {
                let bit = index << Int(header.refcountOrder)
                let byte = 2 * cluster + bit >> 3
                switch header.refcountOrder {
                case 0, 1, 2: base.storeBigEndian(base.bigEndian(byte, as: UInt8.self) | 1 << UInt8(bit & 7), byte)
                case 3: base.storeBigEndian(1 as UInt8, byte)
                case 4: base.storeBigEndian(1 as UInt16, byte)
                case 5: base.storeBigEndian(1 as UInt32, byte)
                default: base.storeBigEndian(1 as UInt64, byte)
                }
            }
        }
        try file.write(start, at: 0)

        let image = try Qcow2Image(file: file, header: header, dataFile: dataFile, backing: backing, options: options)
        image.monitor.enter()
        defer { image.monitor.leave() }
        image.isPrepared = true
        try image.finishCreating(size, entries, wanted)
        return image
    }

    private func finishCreating(
        _ size: UInt64, _ entries: UInt64, _ wanted: Qcow2CreateOptions
    ) throws(UrsaError) {
        noteWritten()
        if entries > 0 {
            let run = try allocateContiguous(geometry.clusters(for: entries * 8))
            try zeroTaken(run)
            header.l1Offset = run.lowerBound << UInt64(geometry.clusterBits)
        } else {
            // QEMU wants a place even for a table without entries.
            let run = try allocate(upTo: 1)
            try zeroTaken(run)
            header.l1Offset = run.lowerBound << UInt64(geometry.clusterBits)
        }
        header.l1Size = UInt32(entries)
        l1 = [UInt64](repeating: 0, count: Int(entries))
        header.size = size
        knownSize.store(size, ordering: .releasing)
        if hasDataFile, !dataFile.isBlockDevice, wanted.dataFileRaw || wanted.preallocation != .off {
            try dataFile.resize(to: size)
        }
        if wanted.preallocation != .off { try preallocate(0..<size, wanted.preallocation) }
        try writeBack()
        try file.write(try header.encoded(for: name), at: 0)
        noteWritten()
        try barrier()
    }

    /// From inside: gives every cluster of a range, where nothing is yet, its place.
    func preallocate(_ range: Range<UInt64>, _ mode: Preallocation) throws(UrsaError) {
        var offset = geometry.clusterStart(range.lowerBound)
        while offset < range.upperBound {
            let table = try ownL2Table(for: offset)
            let index = geometry.l2Index(offset)
            let (base, start) = try l2Slice(table, index: index, writing: true)
            let inSlice = UInt64((geometry.sliceSize - start) >> geometry.l2EntryBits)
            let wanted = min(inSlice, geometry.clusters(for: range.upperBound - offset))
            var count: UInt64 = 0
            while count < wanted, base.bigEndian(start + Int(count) << geometry.l2EntryBits, as: UInt64.self) == 0 {
                count += 1
            }
            if count == 0 {
                offset += geometry.clusterSize
                continue
            }
            var host = offset
            if !hasDataFile {
                let run = try allocate(upTo: count)
                count = UInt64(run.count)
                host = run.lowerBound << UInt64(geometry.clusterBits)
                let isClean = takeClean(run)
                if !isClean { try file.writeZeroes(at: host, count: count * geometry.clusterSize, unmap: false) }
                if isClean { try file.write([0], at: host + count * geometry.clusterSize - 1) }
            }
            try provide(host, count * geometry.clusterSize, mode)
            noteWritten()
            // Finding clusters wrote to other caches only: the slice is where it was.
            let (again, position) = try l2Slice(table, index: index, writing: true)
            for number in 0..<Int(count) {
                let entry = host + UInt64(number) * geometry.clusterSize
                again.storeBigEndian(entry | Qcow2Entry.copied, position + number << geometry.l2EntryBits)
            }
            offset += count * geometry.clusterSize
        }
    }

    private func provide(_ host: UInt64, _ count: UInt64, _ mode: Preallocation) throws(UrsaError) {
        let count = hasDataFile ? min(count, dataFile.size - min(host, dataFile.size)) : count
        switch mode {
        case .off, .metadata: return
        case .falloc: try dataFile.allocate(at: host, count: count)
        case .full:
            let zeros = AlignedBuffer(count: 1 << 20)
            zeros.bytes.initializeMemory(as: UInt8.self, repeating: 0)
            var done: UInt64 = 0
            while done < count {
                let piece = min(count - done, UInt64(zeros.count))
                try dataFile.write(UnsafeRawBufferPointer(zeros.prefix(Int(piece))), at: host + done)
                done += piece
            }
        }
    }
}
