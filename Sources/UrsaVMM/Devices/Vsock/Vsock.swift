import Glibc
public import UrsaBase

extension VirtioDeviceType {
    /// Section 5.10; PCI class "communication controller, other".
    public static let vsock = VirtioDeviceType(19, name: "vsock", pciClass: 0x07_8000)
}

/// Stream sockets between the guest and programs of the host, over unix sockets (virtio 1.2 section 5.10).
///
/// A program of the host reaches port N of the guest by connecting to the listening socket and writing the line
/// `CONNECT N`; when the guest accepts, it gets the line `OK M` (M is the host's port of the connection), and then the
/// stream. When the guest does not, the connection ends. A program of the guest that connects to port N of the host
/// (cid 2) reaches whoever listens at the unix socket `N` in the folder of its `VsockBroker`.
public final class VsockDevice: VirtioDevice, @unchecked Sendable {
    // SAFETY: `thread` is touched by `activate` and `deactivate` only; `outlet` by the thread, of which there is one at a
    // time. The rest is constant.

    private let cid: UInt32
    private let listener: SharedFD?
    private let outlet: VsockOutlet?
    private var thread: QueueThread?

    /// Sockets for a guest with this address.
    ///
    /// - Parameters:
    ///   - cid: 3 to 2^32-2.
    ///   - listener: a stream socket that listens, for connections into the guest.
    ///   - broker: the socket of a `VsockBroker`, for connections out of the guest.
    ///   - log: takes a line when the broker fails.
    public init(
        cid: UInt32, listener: SharedFD?, broker: SharedFD?, log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(UrsaError) {
        guard (3...0xffff_fffe).contains(cid) else {
            throw UrsaError(.usage, "vsock address \(cid); 3 to 4294967294 can be")
        }
        self.cid = cid
        self.listener = listener
        outlet = broker.map { VsockOutlet($0, log: log) }
        super.init(type: .vsock, queueSizes: [128, 128, 16], configurationSize: 8)
        configuration.set(UInt64(cid), at: 0)
        if let listener {
            let flags = fcntl(listener.raw, F_GETFL)
            _ = fcntl(listener.raw, F_SETFL, flags | O_NONBLOCK)
        }
    }

    /// Starts the thread of all queues.
    public override func activate(_ queues: [ActiveQueue], features: VirtioFeatures) throws(UrsaError) {
        guard let receive = queues.first(where: { $0.index == 0 }),
            let transmit = queues.first(where: { $0.index == 1 })
        else { return }
        thread = try QueueThread(receive, others: [transmit], name: type.name) { [unowned self] thread in
            VsockSwitch(thread, cid: cid, listener: listener, outlet: outlet).run(receive, transmit)
        }
    }

    /// Ends the thread, and with it every connection.
    public override func deactivate() {
        thread?.stop()
        thread = nil
    }
}
