import CLinux
import Glibc
import UrsaBase

/// The queue in which frames wait before a machine receives them: tbf (tc-tbf(8)) for a rate alone, netem (tc-netem(8))
/// as soon as there is a delay. By rtnetlink, as <linux/pkt_sched.h> has it.
enum ShapedQueue {
    /// Gives a link the queue that an impairment asks for, or its usual one.
    static func set(_ link: Link, _ impairment: Impairment) throws(UrsaError) {
        var remove = message(RTM_DELQDISC, link, flags: 0, handle: 0)
        // The usual queue of a link can't be deleted.
        remove.tolerated = [ENOENT, EINVAL]
        var requests = [remove]
        if impairment.delay > 0 || impairment.jitter > 0 {
            requests.append(netem(link, impairment))
        } else if let rate = impairment.rate {
            requests.append(tokenBucket(link, rate))
        }
        do throws(UrsaError) { try NetlinkSocket().transact(requests) } catch {
            guard error.code == .notFound else { throw error }
            let isDelay = impairment.delay > 0 || impairment.jitter > 0
            throw UrsaError(
                .unsupported,
                isDelay
                    ? "this kernel can't delay frames: it has no netem queue"
                    : "this kernel can't limit rates: it has no tbf queue",
                place: isDelay ? "--delay" : "--rate",
                remedy: "load the module (modprobe \(isDelay ? "sch_netem" : "sch_tbf")), or impair by other means")
        }
    }

    /// struct tcmsg: family and padding, link, handle, parent (TC_H_ROOT), info.
    private static func message(_ type: Int, _ link: Link, flags: Int32, handle: UInt32) -> NetlinkMessage {
        var request = NetlinkMessage(type, flags: flags, action: "set the queue of \(link.name)")
        request.put(UInt32(0))
        request.put(link.index)
        request.put(handle)
        request.put(UInt32.max)
        request.put(UInt32(0))
        return request
    }

    /// struct tc_netem_qopt (latency in ticks, limit in frames, loss, gap, duplicate, jitter in ticks), then attributes:
    /// the nanoseconds of TCA_NETEM_LATENCY64 (10) and JITTER64 (11) go before the ticks.
    private static func netem(_ link: Link, _ impairment: Impairment) -> NetlinkMessage {
        var request = message(RTM_NEWQDISC, link, flags: NLM_F_CREATE | NLM_F_REPLACE, handle: 0x7573_0000)
        request.attribute(Int(TCA_KIND), text: "netem")
        request.nest(Int(TCA_OPTIONS)) { options in
            for number in [0, 10_000, 0, 0, 0, 0] as [UInt32] { options.put(number) }
            options.attribute(10, Int64(impairment.delay) * 1_000_000)
            options.attribute(11, Int64(impairment.jitter) * 1_000_000)
            if let rate = impairment.rate {
                // TCA_NETEM_RATE (6) is struct tc_netem_rate; rates that its 32 bits don't hold are in RATE64 (8).
                options.attribute(
                    6, withUnsafeBytes(of: UInt32(clamping: rate)) { Array($0) } + [UInt8](repeating: 0, count: 12))
                if rate > UInt64(UInt32.max) { options.attribute(8, rate) }
            }
        }
        return request
    }

    /// TCA_TBF_PARMS (1) is struct tc_tbf_qopt: two struct tc_ratespec of 12 bytes, limit in bytes, buffer, mtu.
    private static func tokenBucket(_ link: Link, _ rate: UInt64) -> NetlinkMessage {
        // A frame must fit the bucket; beyond that a 50th of a second keeps the rate even. 0.2 s may wait in line.
        let frame = UInt64(link.mtu) + 100
        let bucket = UInt32(clamping: max(rate / 50, frame))
        let line = UInt32(clamping: max(rate / 5, frame * 20))
        var request = message(RTM_NEWQDISC, link, flags: NLM_F_CREATE | NLM_F_REPLACE, handle: 0x7574_0000)
        request.attribute(Int(TCA_KIND), text: "tbf")
        request.nest(Int(TCA_OPTIONS)) { options in
            var parameters = NetlinkMessage(0, action: "")
            let start = parameters.bytes.count
            // cell_log, linklayer (1: Ethernet, so no table of times is needed), overhead, cell_align, mpu, rate.
            for byte in [0, 1, 0, 0, 0, 0, 0, 0] as [UInt8] { parameters.put(byte) }
            parameters.put(UInt32(clamping: rate))
            for _ in 0..<3 { parameters.put(UInt32(0)) }
            parameters.put(line)
            parameters.put(UInt32(0))
            parameters.put(UInt32(0))
            options.attribute(1, Array(parameters.bytes[start...]))
            if rate > UInt64(UInt32.max) { options.attribute(4, rate) }  // TCA_TBF_RATE64
            options.attribute(6, bucket)  // TCA_TBF_BURST
        }
        return request
    }
}

extension Impairment {
    /// What of it is the queue's work.
    var queue: [UInt64] { [UInt64(max(0, delay)), UInt64(max(0, jitter)), rate ?? 0] }
}
