import UrsaBase

/// The tables of an image, read by the page: a few hundred KiB of memory whatever their length.
final class TablePages: Sendable {
    private static let pageSize = 8192
    /// A page may be in any of four places, so that tables that are looked up in turn don't drive each other out.
    private static let ways = 4
    private static let sets = 8

    private final class Page: Sendable {
        let number: UInt64
        let bytes: [UInt8]
        init(_ number: UInt64, _ bytes: [UInt8]) {
            self.number = number
            self.bytes = bytes
        }
    }

    private let file: any ByteSource
    private let format: DiskFormat
    private struct Content {
        var pages = [Page?](repeating: nil, count: TablePages.sets * TablePages.ways)
        var next = 0
    }
    private let content = Locked(Content())

    init(_ file: any ByteSource, _ format: DiskFormat) {
        self.file = file
        self.format = format
    }

    /// The byte at `offset`.
    func byte(at offset: UInt64, of table: String) throws(UrsaError) -> UInt8 {
        UInt8(truncatingIfNeeded: try little(1, at: offset, of: table))
    }
    /// The number of 32 bits at `offset`, least significant byte first. `table` is used in errors.
    func little32(at offset: UInt64, of table: String) throws(UrsaError) -> UInt32 {
        UInt32(truncatingIfNeeded: try little(4, at: offset, of: table))
    }
    /// The number of 64 bits at `offset`, least significant byte first.
    func little64(at offset: UInt64, of table: String) throws(UrsaError) -> UInt64 {
        try little(8, at: offset, of: table)
    }
    /// The number of 32 bits at `offset`, most significant byte first.
    func big32(at offset: UInt64, of table: String) throws(UrsaError) -> UInt32 {
        try little32(at: offset, of: table).byteSwapped
    }
    /// The number of 64 bits at `offset`, most significant byte first.
    func big64(at offset: UInt64, of table: String) throws(UrsaError) -> UInt64 {
        try little64(at: offset, of: table).byteSwapped
    }

    /// How many of the numbers of `width` bytes after the one at `offset`, at most `limit`, are the same as that, as far
    /// as the page goes.
    func repeats(of width: Int, at offset: UInt64, limit: UInt64, of table: String) throws(UrsaError) -> UInt64 {
        let start = Int(offset % UInt64(Self.pageSize))
        let page = try page(offset / UInt64(Self.pageSize), of: table)
        let room = (page.bytes.count - start) / width - 1
        guard room > 0 else { return 0 }
        let most = Int(min(limit, UInt64(room)))
        return page.bytes.withUnsafeBytes { bytes in
            var count = 0
            if width == 4 {
                let first = bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self)
                while count < most,
                    bytes.loadUnaligned(fromByteOffset: start + (count + 1) * 4, as: UInt32.self) == first
                { count += 1 }
            } else {
                let first = bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)
                while count < most,
                    bytes.loadUnaligned(fromByteOffset: start + (count + 1) * 8, as: UInt64.self) == first
                { count += 1 }
            }
            return UInt64(count)
        }
    }

    private func little(_ width: Int, at offset: UInt64, of table: String) throws(UrsaError) -> UInt64 {
        let size = UInt64(Self.pageSize)
        let start = Int(offset % size)
        guard start <= Self.pageSize - width else {
            // A table that is not aligned to its own numbers: rare, and not worth a page.
            let fields = try file.structure(table, of: format, at: offset, count: width)
            return fields.bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        let page = try page(offset / size, of: table)
        guard start + width <= page.bytes.count else {
            throw file.damaged(format, "its \(table) passes the end of the file", at: offset)
        }
        return page.bytes.withUnsafeBytes { bytes in
            switch width {
            case 1: UInt64(bytes[start])
            case 4: UInt64(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self)))
            default: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self))
            }
        }
    }

    private func page(_ number: UInt64, of table: String) throws(UrsaError) -> Page {
        let first = Int(number % UInt64(Self.sets)) * Self.ways
        let known: Page? = content.withLock { content in
            for slot in first..<first + Self.ways {
                if let page = content.pages[slot], page.number == number { return page }
            }
            return nil
        }
        if let known { return known }
        let (start, overflow) = number.multipliedReportingOverflow(by: UInt64(Self.pageSize))
        guard !overflow, start < file.size else {
            throw file.damaged(format, "its \(table) lies past the end of the file", at: overflow ? nil : start)
        }
        let count = Int(min(UInt64(Self.pageSize), file.size - start))
        let page = Page(number, try file.structure(table, of: format, at: start, count: count).bytes)
        content.withLock { content in
            content.pages[first + content.next] = page
            content.next = (content.next + 1) % Self.ways
        }
        return page
    }
}
