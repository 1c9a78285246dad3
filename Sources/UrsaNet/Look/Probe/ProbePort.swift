import CLinux
import Glibc
import UrsaBase

/// A pair of links that is there while packets are sent by it. The kernel deletes both ends with one; what a killed
/// command leaves is taken away by the next.
struct ProbePort: Sendable {
    static let port = "utrace0"
    static let ours = "utrace1"

    /// Makes the pair in the calling thread's namespace, the first end a port of a bridge. Returns the link to send by.
    static func onBridge(_ bridge: Link, mac: [UInt8]) throws(UrsaError) -> Link {
        let ours = try make(mac: mac, port: [0xfe, 0x75, 0x72, 0x73, 0x61, 0x00], mtu: bridge.mtu)
        let socket = try NetlinkSocket()
        try socket.transact([
            LinkRequest.set(.name(port), up: true, master: bridge.index, action: "attach a probe to \(bridge.name)")
        ])
        try wait(for: [port, self.ours])
        return ours
    }

    /// Makes the pair so that what is sent by our end comes in at a link of the host, as if from the wire.
    ///
    /// A filter of ours on our own link hands the frames over (tc-mirred(8), ingress redirect); the host's link itself is
    /// not changed.
    static func intoLink(_ link: Link, mac: [UInt8]) throws(UrsaError) -> Link {
        // The kernel judges by the first end's Ethernet address whether a frame is for this host.
        let ours = try make(mac: mac, port: link.mac, mtu: link.mtu)
        let socket = try NetlinkSocket()
        guard let other = try socket.link(port) else { throw UrsaError(.io, "the probe's link is gone") }
        try socket.transact([LinkRequest.set(.name(port), up: true, action: "set up a probe")])
        try wait(for: [port, self.ours])
        do throws(UrsaError) {
            try socket.transact([ingress(other.index), redirect(from: other.index, to: link.index)])
        } catch {
            remove()
            guard error.code == .notFound || error.code == .io else { throw error }
            throw UrsaError(
                .unsupported, "this kernel can't let a packet come in by \(link.name): \(error.message)",
                remedy: "load the modules: modprobe -a sch_ingress cls_u32 act_mirred")
        }
        return ours
    }

    /// Takes the pair away; a missing one is fine.
    static func remove() { try? NetlinkSocket().transact([LinkRequest.delete(.name(port))]) }

    /// Waits until links of the calling thread's namespace carry frames: the kernel finishes bringing a link up, and a
    /// bridge its port, a moment after the request is answered (IFF_RUNNING).
    static func wait(for names: [String]) throws(UrsaError) {
        let socket = try NetlinkSocket()
        let deadline = Deadline.after(seconds: 2)
        for name in names {
            while true {
                let flags = try socket.request(LinkRequest.get(name), dump: false)?.first?.payload
                    .number(at: 8, as: UInt32.self)
                if let flags, flags & UInt32(IFF_RUNNING) != 0 { break }
                guard !deadline.isPast else { throw UrsaError(.timeout, "the probe's link \(name) does not come up") }
                pause(milliseconds: 1)
            }
        }
    }

    private static func make(mac: [UInt8], port portMAC: [UInt8], mtu: UInt32) throws(UrsaError) -> Link {
        remove()
        let socket = try NetlinkSocket()
        let here = try NetworkNamespace.current()
        try socket.transact([
            LinkRequest.addVeth(port, mac: portMAC, peer: ours, peerMAC: mac, peerNamespace: here.raw, mtu: mtu),
            LinkRequest.noAutomaticIPv6(.name(port)), LinkRequest.noAutomaticIPv6(.name(ours)),
            LinkRequest.set(.name(ours), up: true, action: "set up a probe"),
        ])
        guard let link = try socket.link(ours) else { throw UrsaError(.io, "the probe's link is gone") }
        return link
    }

    /// struct tcmsg: family and padding, link, handle, parent, info.
    private static func message(
        _ type: Int, _ link: Int32, handle: UInt32, parent: UInt32, info: UInt32
    ) -> NetlinkMessage {
        var request = NetlinkMessage(type, flags: NLM_F_CREATE | NLM_F_EXCL, action: "hand a probe's frames over")
        request.put(UInt32(0))
        request.put(link)
        request.put(handle)
        request.put(parent)
        request.put(info)
        return request
    }

    /// The place where filters see what comes in (TC_H_INGRESS).
    private static func ingress(_ link: Int32) -> NetlinkMessage {
        var request = message(Int(RTM_NEWQDISC), link, handle: 0xffff_0000, parent: 0xffff_fff1, info: 0)
        request.attribute(Int(TCA_KIND), text: "ingress")
        return request
    }

    /// A filter that takes everything (u32 with a key that masks nothing) and lets it come in by another link:
    /// TCA_U32_SEL 5, TCA_U32_ACT 7, TCA_ACT_KIND 1, TCA_ACT_OPTIONS 2, TCA_MIRRED_PARMS 2 (<linux/pkt_cls.h>,
    /// <linux/tc_act/tc_mirred.h>).
    private static func redirect(from link: Int32, to target: Int32) -> NetlinkMessage {
        // Priority 1, all protocols (ETH_P_ALL 3, big-endian).
        var request = message(
            Int(RTM_NEWTFILTER), link, handle: 0, parent: 0xffff_0000, info: 1 << 16 | UInt32(UInt16(3).bigEndian))
        request.attribute(Int(TCA_KIND), text: "u32")
        request.nest(Int(TCA_OPTIONS)) { options in
            // struct tc_u32_sel: flags (1: terminal), shift, number of keys, …; one struct tc_u32_key of zeros.
            options.attribute(5, [1, 0, 1] + [UInt8](repeating: 0, count: 13 + 16))
            options.nest(7) { actions in
                actions.nest(1) { action in
                    action.attribute(1, Array("mirred".utf8) + [0])
                    action.nest(2) { parameters in
                        var body = NetlinkMessage(0, action: "")
                        let start = body.bytes.count
                        // struct tc_mirred: index, capabilities, action (TC_ACT_STOLEN), two counters, what to do
                        // (TCA_INGRESS_REDIR), the link.
                        for number in [0, 0, 4, 0, 0, 3] as [UInt32] { body.put(number) }
                        body.put(target)
                        parameters.attribute(2, Array(body.bytes[start...]))
                    }
                }
            }
        }
        return request
    }
}
