import CLinux
import Glibc

extension VirtioDeviceType {
    /// Section 5.4; PCI class "encryption, other".
    public static let entropy = VirtioDeviceType(4, name: "entropy", pciClass: 0x10_8000)
}

/// Gives the guest random bytes of the host's kernel (virtio 1.2 section 5.4).
public final class EntropyDevice: VirtioDevice, @unchecked Sendable {
    /// Most bytes for one request, so that no guest keeps a processor of the host busy with one.
    private static let limit = 64 << 10

    /// A source of random bytes.
    public init() { super.init(type: .entropy, queueSizes: [64]) }

    /// Fills what the driver gave with random bytes.
    public override func serve(_ queue: Int, _ chain: inout Chain) -> Int? {
        var written = 0
        for piece in chain.writable {
            let wanted = min(piece.iov_len, EntropyDevice.limit - written)
            guard wanted > 0 else { break }
            // Straight into the guest's memory. It waits only in a host's first seconds.
            let count = Int(clinux_random(piece.iov_base, UInt64(wanted)))
            guard count > 0 else { break }
            written += count
            if count < wanted { break }
        }
        return written
    }
}
