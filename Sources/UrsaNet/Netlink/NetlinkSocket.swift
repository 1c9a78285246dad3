import CLinux
import Glibc
import UrsaBase

/// A netlink socket. It belongs to the network namespace of the thread that opened it, for all its life, whatever
/// thread uses it later. Not for use by two threads at once.
final class NetlinkSocket {
    let fd: OwnedFD
    private var sequence: UInt32 = 0
    /// The kernel fits dump datagrams to the reader's buffer, up to 32 KiB.
    private var buffer = [UInt8](repeating: 0, count: 65536)

    /// Opens a socket to rtnetlink (`NETLINK_ROUTE`) or another family.
    init(_ family: Int32 = NETLINK_ROUTE) throws(UrsaError) {
        fd = OwnedFD(
            try retrying("open a netlink socket") {
                socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), family)
            })
        // Errors in the kernel's own words; filters in dump requests are honoured. Older kernels lack them: fine.
        var on: Int32 = 1
        setsockopt(fd.raw, SOL_NETLINK_, NETLINK_EXT_ACK, &on, 4)
        setsockopt(fd.raw, SOL_NETLINK_, NETLINK_GET_STRICT_CHK, &on, 4)
        // A dead kernel worker must not hang a command for ever.
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(fd.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    private var SOL_NETLINK_: Int32 { 270 }  // <linux/socket.h>, not part of the uapi headers

    /// Sends all requests, in as few system calls as fit, and waits for their acknowledgements.
    ///
    /// The kernel goes through a batch to its end inside the system call, so a kill can't cut it in two; requests
    /// after a failed one are still carried out.
    /// - Throws: the first error that its request does not tolerate, with the kernel's own words.
    func transact(_ requests: [NetlinkMessage]) throws(UrsaError) {
        var start = 0
        while start < requests.count {
            // 32 KiB stay well below the default socket buffer, also with the replies' overhead.
            var batch: [UInt8] = []
            var end = start
            let first = sequence &+ 1
            while end < requests.count, batch.count < 32768, end - start < 128 {
                sequence &+= 1
                batch += requests[end].sealed(sequence: sequence, flags: UInt16(NLM_F_ACK))
                end += 1
            }
            try send(batch)
            try collect(requests[start..<end], first: first)
            start = end
        }
    }

    /// The same in one system call, however long the batch is: the kernel carries out all of it, whatever becomes of the
    /// caller.
    func transactWhole(_ requests: [NetlinkMessage]) throws(UrsaError) {
        guard !requests.isEmpty else { return }
        let first = sequence &+ 1
        var batch: [UInt8] = []
        for request in requests {
            sequence &+= 1
            batch += request.sealed(sequence: sequence, flags: UInt16(NLM_F_ACK))
        }
        // Room for the batch and for an acknowledgement of each request, which takes the kernel about a KiB.
        for (option, bytes) in [(SO_SNDBUFFORCE, batch.count * 2), (SO_RCVBUFFORCE, requests.count * 2048)]
        where bytes > 65536 {
            var size = Int32(clamping: bytes)
            setsockopt(fd.raw, SOL_SOCKET, option, &size, 4)
        }
        try send(batch)
        try collect(requests[...], first: first)
    }

    /// One transaction of nfnetlink: all of the requests or none, between a begin and an end that are not acknowledged.
    func transact(
        _ requests: [NetlinkMessage], between begin: NetlinkMessage, and end: NetlinkMessage
    ) throws(UrsaError) {
        sequence &+= 1
        var batch = begin.sealed(sequence: sequence, flags: 0)
        let first = sequence &+ 1
        for request in requests {
            sequence &+= 1
            batch += request.sealed(sequence: sequence, flags: UInt16(NLM_F_ACK))
        }
        sequence &+= 1
        batch += end.sealed(sequence: sequence, flags: 0)
        try send(batch)
        try collect(requests[...], first: first)
    }

    private func collect(_ requests: ArraySlice<NetlinkMessage>, first: UInt32) throws(UrsaError) {
        var failure: UrsaError?
        var left = requests.count
        while left > 0 {
            for reply in try receive() where reply.type == Int(NLMSG_ERROR) {
                let index = Int(reply.sequence &- first)
                guard index < requests.count else { continue }
                left -= 1
                let request = requests[requests.startIndex + index]
                let number = -reply.payload.number(at: 0, as: Int32.self)
                if number != 0, !request.tolerated.contains(number), failure == nil {
                    failure = Self.error(number, reply, request.action)
                }
            }
        }
        if let failure { throw failure }
    }

    /// Sends one request and returns what comes back: the answers of a dump (`NLM_F_DUMP`) or of a single get.
    /// Nil when the kernel answered with one of the request's tolerated errors.
    func request(_ message: NetlinkMessage, dump: Bool) throws(UrsaError) -> [NetlinkReply]? {
        sequence &+= 1
        try send(message.sealed(sequence: sequence, flags: UInt16(dump ? NLM_F_DUMP : NLM_F_ACK)))
        var results: [NetlinkReply] = []
        while true {
            for reply in try receive() where reply.sequence == sequence {
                switch reply.type {
                case Int(NLMSG_DONE), Int(NLMSG_ERROR):
                    let number = -reply.payload.number(at: 0, as: Int32.self)
                    if number == 0 { return results }
                    if message.tolerated.contains(number) { return nil }
                    throw Self.error(number, reply, message.action)
                default: results.append(reply)
                }
            }
        }
    }

    /// Subscribes to the kernel's news of a group.
    func listen(to group: Int32) throws(UrsaError) {
        // Without an address of its own a socket counts as the kernel's, which does not hear itself.
        var name = sockaddr_nl()
        name.nl_family = sa_family_t(AF_NETLINK)
        try retrying("bind a netlink socket") {
            withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(fd.raw, $0, socklen_t(MemoryLayout<sockaddr_nl>.size))
                }
            }
        }
        // A table of thousands of rules is as many messages.
        var size: Int32 = 8 << 20
        setsockopt(fd.raw, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4)
        var group = group
        try retrying("listen to the kernel's news") {
            setsockopt(fd.raw, SOL_NETLINK_, NETLINK_ADD_MEMBERSHIP, &group, 4)
        }
    }

    /// The news that is there; empty when there is none.
    func news() throws(UrsaError) -> [NetlinkReply] {
        let count = recv(fd.raw, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN || errno == EINTR { return [] }
        if count < 0 { throw UrsaError.system(.current, "read the kernel's news") }
        return NetlinkReply.split(Array(buffer[0..<count]))
    }

    private func send(_ bytes: [UInt8]) throws(UrsaError) {
        try retrying("send to the kernel by netlink") {
            bytes.withUnsafeBytes { Glibc.send(fd.raw, $0.baseAddress, $0.count, 0) }
        }
    }

    private func receive() throws(UrsaError) -> [NetlinkReply] {
        let count = try retrying("read the kernel's netlink answer") {
            recv(fd.raw, &buffer, buffer.count, 0)
        }
        return NetlinkReply.split(Array(buffer[0..<count]))
    }

    /// struct nlmsgerr: i32 error, the request's header and (unless capped) body; then the extended acknowledgement.
    private static func error(_ number: Int32, _ reply: NetlinkReply, _ action: String) -> UrsaError {
        var words: String?
        if reply.type == Int(NLMSG_ERROR), reply.flags & UInt16(NLM_F_ACK_TLVS) != 0 {
            let capped = reply.flags & UInt16(NLM_F_CAPPED) != 0
            let original = capped ? 16 : Int(reply.payload.number(at: 4, as: UInt32.self))
            words = netlinkAttributes(reply.payload.dropFirst((4 + original + 3) & ~3))[1]?.terminatedText
        }
        var error = UrsaError.system(Errno(number), action)
        if let words { error.message += " (the kernel says: \(words))" }
        return error
    }
}
