import UrsaBase
import UrsaDisk

/// What `-o` and the options that stand for one say of a new raw or qcow2 image.
struct CreationOptions: Sendable {
    let format: DiskFormat
    var size: UInt64?
    var clusterSize: UInt64 = 65536
    var compat: String?
    var refcountBits = 16
    var extendedL2 = false
    var lazyRefcounts = false
    var compression: Qcow2Compression = .zlib
    var preallocation: Preallocation?
    var dataFile: String?
    var dataFileIsRaw = false
    var backingFile: String?
    var backingFormat: String?

    /// Whether the image is to be of version 2.
    var isOld: Bool { compat == "0.10" || compat == "v2" }

    /// What may stand in `-o`, with what it is.
    static func known(_ format: DiskFormat) -> [(name: String, value: String, help: String)] {
        let raw = [
            ("preallocation", "<str>", "Preallocation mode (allowed values: off, falloc, full)"),
            ("size", "<size>", "Virtual disk size"),
        ]
        guard format == .qcow2 else { return raw }
        return [
            ("backing_file", "<str>", "File name of a base image"),
            ("backing_fmt", "<str>", "Image format of the base image"),
            ("cluster_size", "<size>", "qcow2 cluster size"),
            ("compat", "<str>", "Compatibility level (v2 [0.10] or v3 [1.1])"),
            ("compression_type", "<str>", "Compression method used for image cluster compression"),
            ("data_file", "<str>", "File name of an external data file"),
            ("data_file_raw", "<bool (on/off)>", "The external data file must stay valid as a raw image"),
            ("extended_l2", "<bool (on/off)>", "Extended L2 tables"),
            ("lazy_refcounts", "<bool (on/off)>", "Postpone refcount updates"),
            ("preallocation", "<str>", "Preallocation mode (allowed values: off, metadata, falloc, full)"),
            ("refcount_bits", "<num>", "Width of a reference count entry in bits"),
            ("size", "<size>", "Virtual disk size"),
        ]
    }

    /// The list that `-o help` prints.
    static func help(_ format: DiskFormat) -> String {
        var text = "Supported \(format.rawValue) options:\n"
        for option in known(format) { text += "  \("\(option.name)=\(option.value)".padded(22)) - \(option.help)\n" }
        return text
    }

    /// Options that only qemu-img can follow.
    static func isForeign(_ options: KeyValues) -> Bool {
        options.pairs.contains { $0.name.hasPrefix("encrypt") || $0.name == "nocow" || $0.name == "extent_size_hint" }
    }

    /// Reads all `-o` of a command line.
    init(format: DiskFormat, _ words: ImageWords) throws(UrsaError) {
        self.format = format
        let options = try KeyValues(words.all("o"), words)
        let names = CreationOptions.known(format).map(\.name)
        for (name, value) in options.pairs {
            guard names.contains(name) else {
                throw words.wrong(
                    "\(format.rawValue) has no option '\(name)'",
                    nearMiss(name, among: names).map { "did you mean '\($0)'?" } ?? "`-o help` lists the options")
            }
            try take(name, value, words)
        }
        try check(words)
    }

    private mutating func take(_ name: String, _ value: String, _ words: ImageWords) throws(UrsaError) {
        func wrong(_ what: String) -> UrsaError {
            words.wrong("'\(value)' is no value for \(name) in -o", "write \(what)")
        }
        func truth() throws(UrsaError) -> Bool {
            guard let truth = ImageNumber.truth(value) else { throw wrong("on or off") }
            return truth
        }
        switch name {
        case "size": size = try words.size(value, of: "size in -o")
        case "cluster_size":
            guard let bytes = ImageNumber.size(value), (512...2 << 20).contains(bytes), bytes & (bytes - 1) == 0 else {
                throw wrong("a power of two from 512 to 2M")
            }
            clusterSize = bytes
        case "compat":
            guard ["0.10", "v2", "1.1", "v3"].contains(value) else { throw wrong("v3 (1.1) or v2 (0.10)") }
            compat = value
        case "refcount_bits":
            guard let bits = ImageNumber.count(value), (1...64).contains(bits), bits & (bits - 1) == 0 else {
                throw wrong("1, 2, 4, 8, 16, 32 or 64")
            }
            refcountBits = Int(bits)
        case "compression_type":
            guard let type = Qcow2Compression.allCases.first(where: { $0.name == value }) else {
                throw wrong("zlib or zstd")
            }
            compression = type
        case "preallocation":
            guard let mode = Preallocation(rawValue: value), format == .qcow2 || mode != .metadata else {
                throw wrong(format == .qcow2 ? "off, metadata, falloc or full" : "off, falloc or full")
            }
            preallocation = mode
        case "extended_l2": extendedL2 = try truth()
        case "lazy_refcounts": lazyRefcounts = try truth()
        case "data_file": dataFile = value
        case "data_file_raw": dataFileIsRaw = try truth()
        case "backing_file": backingFile = value
        case "backing_fmt": backingFormat = value
        default: throw UrsaError(.bug, "an option of the list that is not read: \(name)")
        }
    }

    private func check(_ words: ImageWords) throws(UrsaError) {
        if isOld, lazyRefcounts || extendedL2 || refcountBits != 16 || compression != .zlib || dataFile != nil {
            throw words.wrong(
                "images of version 2 (compat=\(compat ?? "v2")) know none of the newer options", "leave compat out")
        }
        if extendedL2, clusterSize < 16384 {
            throw words.wrong("extended_l2 needs clusters of 16k or more", "write cluster_size=64k")
        }
        if dataFileIsRaw, dataFile == nil {
            throw words.wrong("data_file_raw needs a data_file", "name one in -o data_file=")
        }
        if dataFileIsRaw, backingFile != nil {
            throw words.wrong(
                "an image over another can't keep its data file raw", "leave data_file_raw or the backing file out")
        }
        if let preallocation, preallocation != .off, backingFile != nil, !extendedL2 {
            throw words.wrong(
                "an image over another can't be preallocated", "add extended_l2=on or leave one of them out")
        }
    }

    /// What `create` tells of the image it makes, as `qemu-img` does.
    func formatting(_ file: String, size: UInt64) -> String {
        var text = "Formatting '\(file)', fmt=\(format.rawValue)"
        func add(_ name: String, _ value: String?) { if let value { text += " \(name)=\(value)" } }
        guard format == .qcow2 else {
            add("size", "\(size)")
            add("preallocation", preallocation?.rawValue)
            return text
        }
        add("cluster_size", "\(clusterSize)")
        add("extended_l2", extendedL2 ? "on" : "off")
        add("preallocation", preallocation?.rawValue)
        add("compression_type", compression.name)
        add("size", "\(size)")
        add("compat", compat)
        add("backing_file", backingFile)
        add("backing_fmt", backingFormat)
        add("data_file", dataFile)
        add("data_file_raw", dataFileIsRaw ? "on" : nil)
        add("lazy_refcounts", lazyRefcounts ? "on" : "off")
        add("refcount_bits", "\(refcountBits)")
        return text
    }
}
