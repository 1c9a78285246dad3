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
    private static let near: UInt64 = 65536
    private var chunks: [[UInt32]] = []
    /// Where the chunks of the first clusters stand in `chunks`, -1 for none: a dictionary's look-up for each cluster
    /// would take most of a check's time.
    private var nearPlaces: [Int32] = []
    private var farPlaces: [UInt64: Int] = [:]
    private var sorted: [UInt64] = []

    private func place(_ key: UInt64) -> Int? {
        guard key < UInt64(nearPlaces.count) else { return farPlaces[key] }
        let place = nearPlaces[Int(key)]
        return place < 0 ? nil : Int(place)
    }

    private mutating func makePlace(_ key: UInt64) -> Int? {
        guard chunks.count < Qcow2UseCounts.most else { return nil }
        let place = chunks.count
        chunks.append([UInt32](repeating: 0, count: Int(Qcow2UseCounts.chunk)))
        sorted.append(key)
        if key < Qcow2UseCounts.near {
            let missing = Int(key) + 1 - nearPlaces.count
            if missing > 0 { nearPlaces += [Int32](repeating: -1, count: missing) }
            nearPlaces[Int(key)] = Int32(place)
        } else {
            farPlaces[key] = place
        }
        return place
    }

    mutating func add(_ cluster: UInt64) -> Bool {
        let key = cluster / Qcow2UseCounts.chunk
        guard let place = place(key) ?? makePlace(key) else { return false }
        let index = Int(cluster % Qcow2UseCounts.chunk)
        if chunks[place][index] < .max { chunks[place][index] += 1 }
        return true
    }

    func count(_ cluster: UInt64) -> UInt64 {
        guard let place = place(cluster / Qcow2UseCounts.chunk) else { return 0 }
        return UInt64(chunks[place][Int(cluster % Qcow2UseCounts.chunk)])
    }

    /// The first cluster behind all that are used.
    var end: UInt64 {
        guard let key = sorted.max(), let place = place(key) else { return 0 }
        return key * Qcow2UseCounts.chunk + UInt64((chunks[place].lastIndex { $0 != 0 } ?? -1) + 1)
    }

    /// The counts around a cluster: an array (empty where nobody uses any), the cluster's place in it, and how many
    /// clusters are left in it.
    func chunk(of cluster: UInt64) -> (counts: [UInt32], first: Int, left: UInt64) {
        let inside = cluster % Qcow2UseCounts.chunk
        let counts = place(cluster / Qcow2UseCounts.chunk).map { chunks[$0] } ?? []
        return (counts, Int(inside), Qcow2UseCounts.chunk - inside)
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
            if let place = place(key), let index = chunks[place][from...].firstIndex(where: { $0 != 0 }) {
                return key * Qcow2UseCounts.chunk + UInt64(index)
            }
            low += 1
        }
        return nil
    }

    mutating func seal() { sorted.sort() }
}
