import CLinux
import Glibc
import UrsaBase
import UrsaDisk

@testable import UrsaVMM

/// A device to be driven, its host's side, and what its requests look like.
struct DeviceSubject {
    let device: VirtioDevice
    /// A request as an honest driver would begin it, with fields that may be anything.
    var shape: (inout Script) -> [UInt8] = { script in (0..<16).map { _ in script.byte() } }
    /// A request that the device answers whatever was before: its queue, what it reads and the room for what it writes.
    var honest: (queue: Int, given: [UInt8], room: UInt32)
    /// Does something on the host's side.
    var stir: (UInt8, Int) -> Void = { _, _ in }
    /// Puts away what the host's side holds.
    var end: () -> Void = {}

    // MARK: Disks

    private static let sectors: UInt32 = 2048

    private static func disk(_ image: any DiskWriter) throws(UrsaError) -> DeviceSubject {
        DeviceSubject(
            device: try BlockDevice(image, serial: "fuzz", queues: 2),
            shape: { script in
                // struct virtio_blk_req: type, reserved, sector; then, for discarding, a segment.
                let kind = script.byte()
                let type = kind & 0x80 == 0 ? [0, 1, 1, 4, 8, 11, 13, 0][Int(kind & 7)] : UInt32(kind & 15)
                let place = script.short()
                let sector = place & 0xf000 == 0xf000 ? UInt64.max - UInt64(place & 0xff) : UInt64(place & 0x87f)
                var bytes = little(type) + little(UInt32(0)) + little(sector)
                if type == 11 || type == 13 {
                    bytes += little(UInt64(script.short() & 0x8ff)) + little(UInt32(script.byte()))
                    bytes += little(UInt32(script.byte() & 1))
                }
                return bytes
            }, honest: (0, little(UInt32(0)) + little(UInt32(0)) + little(UInt64(0)), 513))
    }

    private static func file(_ name: String) throws(UrsaError) -> ImageFile {
        let fd = OwnedFD(try check(clinux_memfd(name), "make a file in memory"))
        guard ftruncate(fd.raw, off_t(sectors) * 512) == 0 else { throw UrsaError.system(.current, "size a file") }
        return try ImageFile(taking: fd, name: name, .init(writable: true))
    }

    static func block(_ ram: GuestRAM) throws(UrsaError) -> DeviceSubject {
        try disk(RawImage(file: try file("raw")))
    }

    static func qcow2(_ ram: GuestRAM) throws(UrsaError) -> DeviceSubject {
        var options = Qcow2CreateOptions(size: UInt64(sectors) * 512)
        options.clusterSize = 4096
        return try disk(try Qcow2Image.create(try file("qcow2"), options))
    }

    // MARK: Streams and frames

    static func network(_ ram: GuestRAM) throws(UrsaError) -> DeviceSubject {
        // Two pairs of queues, of which a driver may take one or both.
        var others: [Int32] = []
        var backends: [NetworkBackend] = []
        for _ in 0..<2 {
            var fds: [Int32] = [-1, -1]
            try check(clinux_frame_pair(&fds), "make sockets")
            others.append(fds[1])
            backends.append(try .frames(OwnedFD(fds[0])))
        }
        let ends = others
        let device = try NetworkDevice(backends, mac: MACAddress("52:54:00:00:00:01") ?? MACAddress(0))
        return DeviceSubject(
            device: device,
            shape: { script in
                // A command of the control queue, which is also the start of some frame's header.
                [script.byte() & 7, script.byte() & 3] + (0..<60).map { _ in script.byte() }
            }, honest: (1, [UInt8](repeating: 0, count: 72), 0),
            stir: { byte, count in
                var frame = [UInt8](repeating: byte, count: max(1, count))
                let other = ends[Int(byte & 1)]
                _ = send(other, &frame, frame.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                for _ in 0..<8 where recv(other, &frame, frame.count, Int32(MSG_DONTWAIT)) < 0 { break }
            }, end: { for end in ends { close(end) } })
    }

    static func console(_ ram: GuestRAM) throws(UrsaError) -> DeviceSubject {
        let client = try HostClient("console")
        return DeviceSubject(
            device: try ConsoleDevice(listener: client.listener.duplicate()),
            shape: { script in (0..<Int(script.byte() & 63)).map { _ in script.byte() } },
            honest: (1, Array("x".utf8), 0),
            stir: { byte, count in client.exchange([UInt8](repeating: byte, count: max(1, count)), ends: byte == 0xfe)
            },
            end: { client.end() })
    }

    static func vsock(_ ram: GuestRAM) throws(UrsaError) -> DeviceSubject {
        let client = try HostClient("vsock")
        // The guest finds a service at port 1.
        let folder = client.folder
        let service = SharedFD(try UnixSocket.listen(folder + "/1"))
        _ = fcntl(service.raw, F_SETFL, fcntl(service.raw, F_GETFL) | O_NONBLOCK)
        let accepted = Locked<[SharedFD]>([])
        let pair = try VsockBroker.messagePair()
        let broker = SharedFD(OwnedFD(pair.broker))
        let directory = SharedFD(try File.open(folder, O_RDONLY))
        _ = try OSThread { VsockBroker.serve(broker.raw, folder: directory.raw) }
        let device = try VsockDevice(
            cid: 3, listener: SharedFD(try client.listener.duplicate()), broker: SharedFD(OwnedFD(pair.monitor)))
        return DeviceSubject(
            device: device,
            shape: { script in
                var header = VsockHeader()
                let odd = script.byte()
                header.source = odd & 0xf0 == 0xf0 ? UInt64(script.byte()) : 3
                header.destination = odd & 0x0f == 0x0f ? UInt64(script.byte()) : 2
                header.sourcePort = UInt32(script.byte() & 3)
                header.destinationPort = script.byte() & 1 == 0 ? 1 : 0x4000_0000 | UInt32(script.byte() & 3)
                header.length = odd & 3 == 3 ? UInt32(script.short()) : UInt32(script.byte())
                header.operation = UInt16(script.byte() & 7)
                header.flags = UInt32(script.byte() & 3)
                header.room = UInt32(script.short())
                header.forwarded = UInt32(script.short())
                return header.bytes
            }, honest: (1, [UInt8](repeating: 0, count: VsockHeader.size), 0),
            stir: { byte, count in
                // A broker that answers what it was not asked, with a socket or an error.
                if byte & 0x3e == 0x3e {
                    var answer = VsockBroker.Answer(number: UInt32(count & 7), error: UInt32(byte & 1))
                    let stray = byte & 1 == 0 ? socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) : -1
                    _ = clinux_send_message(broker.raw, &answer, 8, stray, 0)
                    if stray >= 0 { close(stray) }
                }
                accepted.withLock { list in
                    let fd = clinux_accept(service.raw)
                    if fd >= 0 { list.append(SharedFD(OwnedFD(fd))) }
                    if list.count > 4 || (byte & 0x1f == 0x1f && !list.isEmpty) { list.removeFirst() }
                    var text = [UInt8](repeating: byte, count: max(1, count))
                    for socket in list {
                        _ = recv(socket.raw, &text, text.count, Int32(MSG_DONTWAIT))
                        _ = send(socket.raw, &text, text.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                    }
                }
                let text =
                    byte & 1 == 0
                    ? Array("CONNECT \(byte >> 6)\n".utf8) : [UInt8](repeating: byte, count: max(1, count))
                client.exchange(text, ends: byte & 0x3c == 0x3c)
            }, end: { client.end() })
    }

    // MARK: Small ones

    static func balloon(_ ram: GuestRAM) throws(UrsaError) -> DeviceSubject {
        let device = BalloonDevice(ram)
        return DeviceSubject(
            device: device,
            shape: { script in
                (0..<16).flatMap { _ in little(script.byte() & 7 == 7 ? script.word32() : UInt32(script.byte() & 63)) }
            }, honest: (1, [0, 0, 0, 0], 0), stir: { byte, _ in device.setTarget(UInt64(byte) << 12) })
    }

    static func entropy(_ ram: GuestRAM) throws(UrsaError) -> DeviceSubject {
        DeviceSubject(device: EntropyDevice(), honest: (0, [], 64))
    }
}

/// Bytes of an integer, the lowest first.
func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }

/// A client of a listening socket in a folder of its own, which comes again when it was sent away.
private final class HostClient: @unchecked Sendable {
    // SAFETY: used by one input at a time.

    let folder: String
    let listener: OwnedFD
    private let path: String
    private var socket: SharedFD?

    init(_ name: String) throws(UrsaError) {
        var template = Array("/tmp/ursa-fuzz-\(name)-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw UrsaError.system(.current, "make a folder") }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        path = folder + "/socket"
        listener = try UnixSocket.listen(path)
    }

    func exchange(_ text: [UInt8], ends: Bool) {
        if socket == nil { connect() }
        guard let fd = socket?.raw else { return }
        var text = text
        _ = send(fd, &text, text.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        let count = recv(fd, &text, text.count, Int32(MSG_DONTWAIT))
        if ends || count == 0 || (count < 0 && errno != EAGAIN) { socket = nil }
    }

    private func connect() {
        do throws(UrsaError) { socket = SharedFD(try UnixSocket.connect(path)) } catch { socket = nil }
    }

    func end() {
        socket = nil
        try? File.removeTree(folder)
    }
}
