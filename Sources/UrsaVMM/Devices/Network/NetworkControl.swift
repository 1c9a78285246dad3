/// What drivers ask of a card through its control queue (virtio 1.2 section 5.1.6.5).
enum NetworkControl {
    /// Answers a command; how many bytes were written.
    static func serve(_ chain: inout Chain, _ device: NetworkDevice, _ features: VirtioFeatures) -> Int? {
        guard let answer = chain.takeLastWritable(), let group = chain.read(UInt8.self),
            let command = chain.read(UInt8.self)
        else { return nil }
        answer.pointee = isDone(group, command, &chain, device, features) ? 0 : 1
        return 1
    }

    private static func isDone(
        _ group: UInt8, _ command: UInt8, _ chain: inout Chain, _ device: NetworkDevice, _ features: VirtioFeatures
    ) -> Bool {
        typealias Bits = VirtioFeatures.Net
        switch (group, command) {
        case (1, 1):
            // Frames for every address come through, so there is nothing to filter by the new one.
            var address = [UInt8](repeating: 0, count: 6)
            let isThere = address.withUnsafeMutableBytes { buffer in
                buffer.baseAddress.map { chain.read(into: $0, 6) } ?? false
            }
            guard isThere, features.contains(Bits.controlMAC) else { return false }
            device.configuration.set(address, at: 0)
            return true
        case (4, 0):
            guard features.contains(Bits.manyQueues), let pairs = chain.read(UInt16.self), pairs >= 1,
                Int(pairs) <= device.pairs
            else { return false }
            device.setPairs(Int(pairs))
            return true
        case (5, 0):
            guard features.contains(Bits.guestOffloads), let wanted = chain.read(UInt64.self) else { return false }
            let chosen = VirtioFeatures(rawValue: wanted)
            let possible = Bits.guestLarge.union([Bits.guestChecksum, Bits.guestECN]).intersection(features)
            guard chosen.isSubset(of: possible) else { return false }
            device.setOffloads(chosen)
            return true
        default: return false
        }
    }
}
