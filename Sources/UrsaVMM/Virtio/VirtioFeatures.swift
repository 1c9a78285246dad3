/// Feature bits (virtio 1.2 section 2.2): what a device offers, or what was negotiated.
public struct VirtioFeatures: OptionSet, Sendable, Hashable {
    /// The bits.
    public let rawValue: UInt64
    /// From bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// A single bit by its number, 0 to 63.
    public init(bit: Int) { rawValue = 1 << UInt64(truncatingIfNeeded: bit & 63) }

    /// VIRTIO_F_INDIRECT_DESC.
    public static let indirectDescriptors = VirtioFeatures(bit: 28)
    /// VIRTIO_F_EVENT_IDX.
    public static let eventIndex = VirtioFeatures(bit: 29)
    /// VIRTIO_F_VERSION_1: not the legacy interface. Always offered, and required.
    public static let version1 = VirtioFeatures(bit: 32)

    /// What every device here has because the queues have it.
    static let ground: VirtioFeatures = [.indirectDescriptors, .eventIndex, .version1]
}
