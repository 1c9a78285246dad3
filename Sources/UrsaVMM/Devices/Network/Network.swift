import CLinux
public import UrsaBase

extension VirtioDeviceType {
    /// Section 5.1; PCI class "Ethernet controller".
    public static let network = VirtioDeviceType(1, name: "net", pciClass: 0x02_0000)
}

extension VirtioFeatures {
    /// Bits of network cards (section 5.1.3).
    enum Net {
        static let checksum = VirtioFeatures(bit: 0)
        static let guestChecksum = VirtioFeatures(bit: 1)
        static let guestOffloads = VirtioFeatures(bit: 2)
        static let mtu = VirtioFeatures(bit: 3)
        static let mac = VirtioFeatures(bit: 5)
        static let guestTSO4 = VirtioFeatures(bit: 7)
        static let guestTSO6 = VirtioFeatures(bit: 8)
        static let guestECN = VirtioFeatures(bit: 9)
        static let guestUFO = VirtioFeatures(bit: 10)
        static let hostTSO4 = VirtioFeatures(bit: 11)
        static let hostTSO6 = VirtioFeatures(bit: 12)
        static let hostECN = VirtioFeatures(bit: 13)
        static let hostUFO = VirtioFeatures(bit: 14)
        static let mergeable = VirtioFeatures(bit: 15)
        static let status = VirtioFeatures(bit: 16)
        static let control = VirtioFeatures(bit: 17)
        static let manyQueues = VirtioFeatures(bit: 22)
        static let controlMAC = VirtioFeatures(bit: 23)
        static let guestUSO4 = VirtioFeatures(bit: 54)
        static let guestUSO6 = VirtioFeatures(bit: 55)
        static let hostUSO = VirtioFeatures(bit: 56)
        static let guestLarge: VirtioFeatures = [guestTSO4, guestTSO6, guestUFO, guestUSO4, guestUSO6]
    }
}

/// A network card (virtio 1.2 section 5.1) on a tap or a packet socket.
///
/// Frames go straight between the host's descriptor and the guest's buffers. Each pair of queues has a thread; with vhost
/// the kernel serves the queues, and no frame passes this process.
public final class NetworkDevice: VirtioDevice, @unchecked Sendable {
    // SAFETY: `threads` and `kernel` are touched by `activate` and `deactivate` only; the rest is constant.

    static let queueSize: UInt16 = 256
    private let backends: [NetworkBackend]
    private let mtu: UInt16?
    private var threads: [QueueThread] = []
    private var kernel: [VhostNet] = []
    private let mac: MACAddress
    let log: @Sendable (String) -> Void

    /// A card.
    ///
    /// - Parameters:
    ///   - backends: one for each pair of queues; several are queues of one tap.
    ///   - mtu: what the guest shall take as its MTU; nil leaves it the choice.
    ///   - log: takes a line when the host's side fails.
    public init(
        _ backends: [NetworkBackend], mac: MACAddress, mtu: UInt16? = nil,
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(UrsaError) {
        guard (1...16).contains(backends.count) else {
            throw UrsaError(.usage, "a network card with \(backends.count) pairs of queues; 1 to 16 can be")
        }
        self.backends = backends
        self.mtu = mtu
        self.mac = mac
        self.log = log
        var sizes = [UInt16](repeating: NetworkDevice.queueSize, count: 2 * backends.count)
        sizes.append(64)
        super.init(type: .network, queueSizes: sizes, configurationSize: 12)
        configuration.set(mac.bytes, at: 0)
        configuration.set(UInt16(1), at: 6)
        configuration.set(UInt16(backends.count), at: 8)
        configuration.set(mtu ?? 1500, at: 10)
    }

    /// What the card offers follows from what its tap can do.
    public override var features: VirtioFeatures {
        typealias Bits = VirtioFeatures.Net
        var result: VirtioFeatures = [Bits.mac, Bits.status, Bits.mergeable, Bits.control, Bits.controlMAC]
        if mtu != nil { result.insert(Bits.mtu) }
        if backends.count > 1 { result.insert(Bits.manyQueues) }
        let offloads = backends.reduce(UInt32.max) { $0 & $1.offloads }
        func has(_ bit: UInt32) -> Bool { offloads & bit == bit }
        guard backends.allSatisfy({ $0.kind == .tap }), has(UInt32(CLINUX_TAP_CHECKSUM)) else { return result }
        result.formUnion([Bits.checksum, Bits.guestChecksum, Bits.guestOffloads])
        if has(UInt32(CLINUX_TAP_TSO4 | CLINUX_TAP_TSO6)) {
            result.formUnion([Bits.guestTSO4, Bits.guestTSO6, Bits.hostTSO4, Bits.hostTSO6])
        }
        if has(UInt32(CLINUX_TAP_ECN)) { result.formUnion([Bits.guestECN, Bits.hostECN]) }
        if has(UInt32(CLINUX_TAP_UFO)) { result.formUnion([Bits.guestUFO, Bits.hostUFO]) }
        if has(UInt32(CLINUX_TAP_USO4 | CLINUX_TAP_USO6)) {
            result.formUnion([Bits.guestUSO4, Bits.guestUSO6, Bits.hostUSO])
        }
        return result
    }

    /// What a tap may leave to a driver with these features.
    static func offloads(for features: VirtioFeatures) -> UInt32 {
        typealias Bits = VirtioFeatures.Net
        guard features.contains(Bits.guestChecksum) else { return 0 }
        var result = UInt32(CLINUX_TAP_CHECKSUM)
        if features.contains(Bits.guestTSO4) { result |= UInt32(CLINUX_TAP_TSO4) }
        if features.contains(Bits.guestTSO6) { result |= UInt32(CLINUX_TAP_TSO6) }
        if features.contains(Bits.guestECN), result & UInt32(CLINUX_TAP_TSO4 | CLINUX_TAP_TSO6) != 0 {
            result |= UInt32(CLINUX_TAP_ECN)
        }
        if features.contains(Bits.guestUFO) { result |= UInt32(CLINUX_TAP_UFO) }
        // The kernel takes both or none.
        if features.isSuperset(of: [Bits.guestUSO4, Bits.guestUSO6]) {
            result |= UInt32(CLINUX_TAP_USO4 | CLINUX_TAP_USO6)
        }
        return result
    }

    /// Most bytes of a frame that may come, with its header.
    func largestFrame(_ features: VirtioFeatures) -> Int {
        features.isDisjoint(with: .Net.guestLarge) ? Int(max(1500, mtu ?? 1500)) + 18 + 12 : 65562
    }

    /// The tap follows what the driver can finish itself.
    func setOffloads(_ features: VirtioFeatures) {
        for backend in backends { backend.setOffloads(NetworkDevice.offloads(for: features)) }
    }

    /// How many pairs the driver uses, from the first on.
    func setPairs(_ count: Int) {
        guard backends.count > 1 else { return }
        for (index, backend) in backends.enumerated() { backend.setActive(index < count) }
    }

    var pairs: Int { backends.count }

    /// The host's side has failed: the guest sees the cable pulled.
    func linkFailed(_ reason: String) {
        log("\(mac): \(reason)")
        configuration.set(UInt16(0), at: 6)
        configurationChanged()
    }

    /// Starts a thread for each pair of queues, or hands the pair to the kernel.
    public override func activate(_ queues: [ActiveQueue], features: VirtioFeatures) throws(UrsaError) {
        setOffloads(features)
        setPairs(1)
        // Without the feature there is one pair, and the control queue comes right after it (section 5.1.2).
        let pairs = features.contains(.Net.manyQueues) ? backends.count : 1
        var control = queues.first { $0.index == 2 * pairs && features.contains(.Net.control) }
        for (number, backend) in backends.prefix(pairs).enumerated() {
            guard let receive = queues.first(where: { $0.index == 2 * number }),
                let transmit = queues.first(where: { $0.index == 2 * number + 1 })
            else { continue }
            if let pair = startKernel(backend, receive, transmit, features) {
                kernel.append(pair)
                continue
            }
            let worker = NetworkPair(self, backend, receive, transmit, control: control, features)
            threads.append(
                try QueueThread(receive, others: [transmit] + (control.map { [$0] } ?? []), name: type.name) { thread in
                    worker.run(thread)
                })
            control = nil
        }
        if let control {
            threads.append(
                try QueueThread(control, name: type.name) { [unowned self] thread in
                    thread.serve { chain in NetworkControl.serve(&chain, self, features) }
                })
        }
    }

    private func startKernel(
        _ backend: NetworkBackend, _ receive: ActiveQueue, _ transmit: ActiveQueue, _ features: VirtioFeatures
    ) -> VhostNet? {
        guard let vhost = backend.vhost, backend.kind == .tap else { return nil }
        do throws(UrsaError) {
            return try VhostNet(vhost, tap: backend.raw, [receive, transmit], features)
        } catch {
            log("\(mac): without vhost: \(error)")
            return nil
        }
    }

    /// Ends threads, and the kernel's use of the queues.
    public override func deactivate() {
        for pair in kernel { pair.stop() }
        kernel = []
        for thread in threads { thread.stop() }
        threads = []
        setPairs(backends.count)
    }
}
