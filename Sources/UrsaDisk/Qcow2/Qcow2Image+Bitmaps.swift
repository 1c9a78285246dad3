public import UrsaBase

// Persistent bitmaps are kept true: before the first change those that follow the disk are marked as in use in the
// image, so that a crash leaves them marked unreliable; what is written is noted in memory, and `close` adds it to what
// the image has and takes the marks away (QEMU, docs/interop/qcow2.txt, Bitmaps).

extension Qcow2Image {
    /// The persistent bitmaps of the image.
    public func listBitmaps() throws(UrsaError) -> [Qcow2Bitmap] {
        try Qcow2Bitmap.read(file, currentHeader).list
    }

    var bitmapsFollow: Bool { !bitmaps.followed.isEmpty }

    /// From inside, before the first change.
    func prepareBitmaps() throws(UrsaError) {
        let list = try Qcow2Bitmap.read(file, header).list
        bitmaps.followed = []
        for item in list where item.isEnabled && !item.isInUse {
            let bits = size.dividedUp(by: item.granularity)
            guard bits.dividedUp(by: 8) <= UInt64(item.tableSize) * geometry.clusterSize else {
                throw damaged("the bitmap '\(item.name)' is too short for the disk")
            }
            bitmaps.followed.append(
                Qcow2BitmapTracking.Followed(
                    bitmap: item, bits: [UInt8](repeating: 0, count: Int(bits.dividedUp(by: 8)))))
            try writeFlags(item, item.flags | Qcow2Bitmap.inUse)
        }
        if bitmapsFollow { try barrier() }
    }

    private func writeFlags(_ item: Qcow2Bitmap, _ flags: UInt32) throws(UrsaError) {
        var bytes: [UInt8] = []
        bytes.appendBigEndian(flags)
        try file.write(bytes, at: item.flagsOffset)
        noteWritten()
    }

    /// From inside: a range of the disk changes.
    @inline(__always)
    func noteDirty(_ offset: UInt64, _ count: UInt64) {
        guard bitmapsFollow, count > 0 else { return }
        noteInBitmaps(offset, count)
    }

    private func noteInBitmaps(_ offset: UInt64, _ count: UInt64) {
        let end = min(offset + count, size)
        guard offset < end else { return }
        for index in bitmaps.followed.indices {
            let shift = UInt64(bitmaps.followed[index].bitmap.granularityBits)
            for bit in Int(offset >> shift)...Int((end - 1) >> shift) {
                bitmaps.followed[index].bits[bit >> 3] |= 1 << UInt8(bit & 7)
            }
        }
    }

    /// From inside, at the end: saves what was noted.
    func closeBitmaps() throws(UrsaError) {
        guard bitmapsFollow else { return }
        let cluster = Int(geometry.clusterSize)
        for item in bitmaps.followed {
            var table = try Qcow2Image.readTable(
                file, at: item.bitmap.tableOffset, entries: Int(item.bitmap.tableSize), "bitmap table")
            for index in table.indices {
                let start = index * cluster
                guard start < item.bits.count else { break }
                let noted = item.bits[start..<min(item.bits.count, start + cluster)]
                guard noted.contains(where: { $0 != 0 }) else { continue }
                table[index] = try add(Array(noted), to: table[index])
            }
            // New clusters are counted, and their content is there, before the table points at them.
            try writeRefcounts()
            try barrier()
            try writeTable(table, at: item.bitmap.tableOffset)
            noteWritten()
        }
        try flushInside()
        for item in bitmaps.followed { try writeFlags(item.bitmap, item.bitmap.flags & ~Qcow2Bitmap.inUse) }
        try barrier()
        bitmaps.followed = []
    }

    /// Adds bits to a cluster of a bitmap; returns its table entry.
    private func add(_ bits: [UInt8], to entry: UInt64) throws(UrsaError) -> UInt64 {
        let place = entry & Qcow2Entry.offsetMask
        guard geometry.inCluster(place) == 0 else {
            throw damaged("a bitmap's table entry is 0x\(String(entry, radix: 16))")
        }
        if place != 0 {
            var content = try file.bytes(at: place, count: bits.count)
            for index in bits.indices { content[index] |= bits[index] }
            try file.write(content, at: place)
            noteWritten()
            return entry
        }
        if entry & 1 != 0 { return entry }  // all ones already
        let run = try allocate(upTo: 1)
        try zeroTaken(run)
        let new = run.lowerBound << UInt64(geometry.clusterBits)
        try file.write(bits, at: new)
        noteWritten()
        return new
    }

    /// What the bitmaps use of the file, for a check.
    func bitmapRanges() throws(UrsaError) -> [(offset: UInt64, count: UInt64, what: String)] {
        let (list, offset, size) = try Qcow2Bitmap.read(file, header)
        guard size > 0 else { return [] }
        var result: [(offset: UInt64, count: UInt64, what: String)] = [(offset, size, "the directory of bitmaps")]
        for item in list {
            result.append((item.tableOffset, UInt64(item.tableSize) * 8, "the table of a bitmap"))
            let table = try Qcow2Image.readTable(
                file, at: item.tableOffset, entries: Int(item.tableSize), "bitmap table")
            for entry in table where entry & Qcow2Entry.offsetMask != 0 {
                result.append((entry & Qcow2Entry.offsetMask, geometry.clusterSize, "a bitmap"))
            }
        }
        return result
    }
}
