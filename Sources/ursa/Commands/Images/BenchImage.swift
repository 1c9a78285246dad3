import UrsaBase
import UrsaDisk

/// `ursa image bench`
enum BenchImage: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "bench", abstract: "Measure how fast an image is read or written.", operands: "FILE",
        options: [
            .option("c", "N", "So many requests; left out: 75000"),
            .option("d", "N", "So many at a time; left out: 64"),
            .format(), .option("o", "OFFSET", "Where the first one is; left out: at 0"),
            .option("s", "SIZE", "Bytes of each; left out: 4k"),
            .option("S", "SIZE", "From one to the next; left out: as of -s"),
            .flag("w", "Write, which destroys what is in the image"),
            .option(nil, "pattern", "BYTE", "What is written; left out: 0"),
            .option(nil, "flush-interval", "N", "With -w: flush after so many"),
            .flag(nil, "no-drain", "Don't wait for those under way before a flush"), .cache,
            .option("i", "AIO", "io_uring or threads; left out: what the host allows"),
            .flag("n", "As -i native; io_uring is taken"), .quiet, .share, .json, .allow, .trusted, .imageOptions,
            .object,
        ],
        discussion: """
            Examples:
              {} bench -f raw disk.img
              {} bench -w -c 1000 -s 64k --flush-interval=100 -f qcow2 scratch.qcow2
            """)

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let file = try words.operands("FILE")[0]
        var bench = Bench()
        bench.count = try words.number("c", spelled: "-c", in: 1...UInt64(Int32.max)) ?? 75000
        bench.depth = Int(try words.number("d", spelled: "-d", in: 1...65536) ?? 64)
        bench.offset = try words.size("o", spelled: "-o") ?? 0
        bench.size = try words.size("s", spelled: "-s") ?? 4096
        bench.step = try words.size("S", spelled: "-S") ?? bench.size
        bench.writes = words.has("w")
        bench.pattern = UInt8(try words.number("pattern", spelled: "--pattern", in: 0...255) ?? 0)
        bench.flushInterval = try words.number("flush-interval", spelled: "--flush-interval", in: 1...UInt64(Int32.max))
        bench.drains = !words.has("no-drain")
        guard (1...UInt64(64 << 20)).contains(bench.size) else {
            throw words.wrong("requests of \(bench.size) bytes can't be measured", "write -s from 1 to 64M")
        }
        guard bench.writes || bench.flushInterval == nil else {
            throw words.wrong("--flush-interval is for writing", "add -w")
        }
        guard bench.drains || bench.flushInterval != nil else {
            throw words.wrong("--no-drain is for flushes", "add --flush-interval")
        }
        if let interval = bench.flushInterval, bench.drains, interval < UInt64(bench.depth) {
            throw words.wrong(
                "a flush after \(interval) requests waits for all, and \(bench.depth) are to be under way",
                "make --flush-interval at least as large as -d")
        }
        if let method = words.value("i"), !["io_uring", "threads", "native"].contains(method) {
            throw words.wrong("'\(printable(method))' is no way to make requests", "write -i io_uring or -i threads")
        }
        bench.usesThreads = words.value("i") == "threads"
        let read = [(name: file, format: words.value("f"))]
        if try bench.writes ? ImageDoor.mustTake(words, written: read[0]) : ImageDoor.mustTake(words, read: read) {
            return try QEMUImage.handOn(call)
        }
        let door = ImageDoor(words)
        let image: any DiskReader =
            bench.writes
            ? try door.writer(file, format: words.value("f")) : try door.reader(file, format: words.value("f"))
        guard image.size >= bench.size else {
            throw UrsaError(.usage, "the disk is smaller than one request", place: file, remedy: "write a smaller -s")
        }
        if !words.has("q"), !Screen.isJSON { Screen.write(announcement(bench)) }
        let seconds = try bench.run(image)
        if let writer = image as? any DiskWriter, bench.writes { try writer.close() }
        if Screen.isJSON {
            Screen.json(
                .record([
                    "requests": .integer(Int64(clamping: bench.count)), "bytes": .integer(Int64(clamping: bench.size)),
                    "depth": .integer(Int64(bench.depth)), "write": .bool(bench.writes), "seconds": .number(seconds),
                ]))
        } else if !words.has("q") {
            Screen.line("Run completed in \(ImageText.threeDecimals(seconds)) seconds.")
        }
        return 0
    }

    private static func announcement(_ bench: Bench) -> String {
        let kind = bench.writes ? "write" : "read"
        var text = "Sending \(bench.count) \(kind) requests, \(bench.size) bytes each, \(bench.depth) in parallel "
        text += "(starting at offset \(bench.offset), step size \(bench.step))\n"
        if let interval = bench.flushInterval {
            text += "Sending flush every \(interval) \(bench.drains ? "" : "not drained ")requests\n"
        }
        return text
    }
}
