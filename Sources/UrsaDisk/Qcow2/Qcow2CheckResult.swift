/// What a check of a qcow2 image found: the figures that `qemu-img check` tells.
public struct Qcow2CheckResult: Sendable, CustomStringConvertible {
    /// Places where the image contradicts itself and data is in danger.
    public var corruptions: UInt64 = 0
    /// Clusters that are counted as used although nobody uses them.
    public var leaks: UInt64 = 0
    /// Parts that could not be checked, because reading failed.
    public var failures: UInt64 = 0
    /// How many of the corruptions were mended.
    public var corruptionsFixed: UInt64 = 0
    /// How many of the leaks were mended.
    public var leaksFixed: UInt64 = 0
    /// Clusters of the disk.
    public var totalClusters: UInt64 = 0
    /// Those that have a place in the file.
    public var allocatedClusters: UInt64 = 0
    /// Of these, those that don't lie behind their predecessor.
    public var fragmentedClusters: UInt64 = 0
    /// Of these, those that are compressed.
    public var compressedClusters: UInt64 = 0
    /// Bytes from the file's start to the end of the last cluster in use.
    public var imageEnd: UInt64 = 0
    /// What was found, in words; the first hundred of each kind of trouble.
    public var messages: [String] = []

    /// Neither corrupt nor leaking.
    public var isClean: Bool { corruptions == 0 && leaks == 0 && failures == 0 }
    /// Nothing worse than leaked clusters.
    public var isSound: Bool { corruptions == 0 && failures == 0 }

    /// The figures and the messages in a line.
    public var description: String {
        "\(corruptions) corruptions, \(leaks) leaks, \(failures) failures: \(messages.joined(separator: "; "))"
    }

    mutating func say(_ text: @autoclosure () -> String) {
        if messages.count < 100 { messages.append(text()) }
    }
}

/// How much a check may change.
public enum Qcow2Repair: Sendable {
    case nothing
    /// Gives back what leaked.
    case leaks
    /// Mends all that can be.
    case all
}

/// How often each cluster of a file is used, counted from the tables. Memory goes with what is used, not with what a file
/// claims to be; past a limit the check ends with an error.
struct Qcow2UseCounts {
    private static let chunk: UInt64 = 8192
    private static let most = 32768  // chunks: 1 GiB, the tables of 16 TiB in clusters of 64 KiB
    private var chunks: [UInt64: [UInt32]] = [:]
    private var sorted: [UInt64] = []

    mutating func add(_ cluster: UInt64) -> Bool {
        let key = cluster / Qcow2UseCounts.chunk
        if chunks[key] == nil {
            guard chunks.count < Qcow2UseCounts.most else { return false }
            chunks[key] = [UInt32](repeating: 0, count: Int(Qcow2UseCounts.chunk))
        }
        let index = Int(cluster % Qcow2UseCounts.chunk)
        if let old = chunks[key]?[index], old < .max { chunks[key]?[index] = old + 1 }
        return true
    }

    func count(_ cluster: UInt64) -> UInt64 {
        UInt64(chunks[cluster / Qcow2UseCounts.chunk]?[Int(cluster % Qcow2UseCounts.chunk)] ?? 0)
    }

    /// The first cluster behind all that are used.
    var end: UInt64 {
        guard let key = chunks.keys.max(), let chunk = chunks[key] else { return 0 }
        return key * Qcow2UseCounts.chunk + UInt64((chunk.lastIndex { $0 != 0 } ?? -1) + 1)
    }

    /// The counts around a cluster: an array (empty where nobody uses any), the cluster's place in it, and how many
    /// clusters are left in it.
    func chunk(of cluster: UInt64) -> (counts: [UInt32], first: Int, left: UInt64) {
        let inside = cluster % Qcow2UseCounts.chunk
        return (chunks[cluster / Qcow2UseCounts.chunk] ?? [], Int(inside), Qcow2UseCounts.chunk - inside)
    }

    /// The first cluster from `start` on that is used; asked after the counting, when `seal` was called.
    func firstUsed(from start: UInt64) -> UInt64? {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < start / Qcow2UseCounts.chunk { low = middle + 1 } else { high = middle }
        }
        while low < sorted.count {
            let key = sorted[low]
            let from = key == start / Qcow2UseCounts.chunk ? Int(start % Qcow2UseCounts.chunk) : 0
            if let index = chunks[key]?[from...].firstIndex(where: { $0 != 0 }) {
                return key * Qcow2UseCounts.chunk + UInt64(index)
            }
            low += 1
        }
        return nil
    }

    mutating func seal() { sorted = chunks.keys.sorted() }
}
