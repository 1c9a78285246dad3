public import UrsaBase

// Changing what the header states besides its fields: the backing file's name and format.

extension Qcow2Image {
    /// Makes the image state another backing file, or none. Nothing of the disk's content is changed: what it reads as
    /// where it says nothing itself is for the caller to keep. The open image goes on reading through the old one.
    public func changeBacking(file name: String?, format: String?) throws(UrsaError) {
        guard !header.dataFileIsRaw || name == nil else {
            throw UrsaError(.usage, "\(self.name) has a raw external data file, which can't go with a backing file")
        }
        monitor.enter()
        defer { monitor.leave() }
        try prepare()
        try flushInside()
        var new = header
        new.backingFile = name
        new.backingFormat = name == nil ? nil : format
        try replaceHeader(new)
    }

    /// Writes a header with other extensions or another name. Fields and the first extensions lie in the first sector,
    /// which changes at once; a header that is longer is written from its end to its start, and the name goes to a place
    /// that the old header does not use, so that either the old or the new one is whole whatever write is the last.
    private func replaceHeader(_ wanted: Qcow2Header) throws(UrsaError) {
        var new = wanted
        var bytes = try new.encoded(for: name)
        let slots: [UInt64] = [2048, 3072]
        let extensionsEnd = new.namePlace.offset == 0 ? UInt64(bytes.count) : new.namePlace.offset
        if bytes.count > 512, geometry.clusterSize >= 4096, extensionsEnd <= slots[0] {
            if header.namePlace.offset != 0, header.namePlace.offset < extensionsEnd, let old = header.backingFile {
                // The longer extensions would run over the name that still counts.
                try file.write(Array(old.utf8), at: slots[1])
                noteWritten()
                try barrier()
                header.namePlace.offset = slots[1]
                try writeHeaderFields()
                noteWritten()
                try barrier()
            }
            if let text = new.backingFile {
                let old = header.namePlace
                let place = slots.first { $0 >= old.offset + UInt64(old.length) || $0 + 1024 <= old.offset } ?? slots[0]
                new.namePlace.offset = place
                try file.write(Array(text.utf8), at: place)
            }
            bytes = Array(new.encodedFields() + bytes[new.length..<Int(extensionsEnd)])
            if bytes.count > 512 { try file.write(Array(bytes[512...]), at: 512) }
            noteWritten()
            try barrier()
            bytes = Array(bytes.prefix(512))
        }
        try file.write(bytes, at: 0)
        noteWritten()
        header = new
        try barrier()
    }
}
