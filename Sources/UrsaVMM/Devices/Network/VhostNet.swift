import CLinux
import UrsaBase

/// A pair of queues that the kernel's own half of virtio-net serves (drivers/vhost/net.c, <linux/vhost.h>): no frame passes
/// this process.
final class VhostNet {
    private let fd: SharedFD

    /// Hands the queues over.
    init(_ fd: SharedFD, tap: Int32, _ queues: [ActiveQueue], _ features: VirtioFeatures) throws(UrsaError) {
        self.fd = fd
        guard queues.allSatisfy({ $0.call >= 0 }) else {
            throw UrsaError(.unsupported, "the kernel raises message interrupts only")
        }
        let owner = clinux_ioctl(fd.raw, CLINUX_VHOST_SET_OWNER, nil)
        // It is ours since the last activation.
        if owner != -EBUSY_ { try check(owner, "VHOST_SET_OWNER") }
        var offered: UInt64 = 0
        try check(clinux_ioctl(fd.raw, CLINUX_VHOST_GET_FEATURES, &offered), "VHOST_GET_FEATURES")
        var wanted = features.rawValue & offered
        try check(clinux_ioctl(fd.raw, CLINUX_VHOST_SET_FEATURES, &wanted), "VHOST_SET_FEATURES")
        do throws(UrsaError) {
            try setMemory(queues[0].ram)
            for (index, queue) in queues.enumerated() { try setQueue(UInt32(index), queue) }
            for index in 0..<queues.count { try setBackend(UInt32(index), tap) }
        } catch {
            stop()
            throw error
        }
    }

    private var EBUSY_: Int32 { 16 }

    private func setMemory(_ ram: GuestRAM) throws(UrsaError) {
        var table = clinux_vhost_memory()
        guard ram.regions.count <= 8 else { throw UrsaError(.unsupported, "the guest's memory is in too many parts") }
        table.count = UInt32(ram.regions.count)
        withUnsafeMutableBytes(of: &table.regions) { bytes in
            let regions = bytes.bindMemory(to: vhost_memory_region.self)
            for (index, region) in ram.regions.enumerated() {
                regions[index] = vhost_memory_region(
                    guest_phys_addr: region.guestStart, memory_size: region.size,
                    userspace_addr: UInt64(UInt(bitPattern: region.base)), flags_padding: 0)
            }
        }
        try check(clinux_ioctl(fd.raw, CLINUX_VHOST_SET_MEM_TABLE, &table), "VHOST_SET_MEM_TABLE")
    }

    private func setQueue(_ index: UInt32, _ queue: ActiveQueue) throws(UrsaError) {
        let (ram, layout) = (queue.ram, queue.layout)
        guard let descriptors = ram.pointer(layout.descriptors, layout.descriptorBytes),
            let available = ram.pointer(layout.available, layout.availableBytes),
            let used = ram.pointer(layout.used, layout.usedBytes)
        else { throw UrsaError(.bug, "a queue was made active although it lies outside of memory") }
        var size = vhost_vring_state(index: index, num: UInt32(layout.size))
        try check(clinux_ioctl(fd.raw, CLINUX_VHOST_SET_VRING_NUM, &size), "VHOST_SET_VRING_NUM")
        var base = vhost_vring_state(index: index, num: 0)
        try check(clinux_ioctl(fd.raw, CLINUX_VHOST_SET_VRING_BASE, &base), "VHOST_SET_VRING_BASE")
        var address = vhost_vring_addr()
        address.index = index
        address.desc_user_addr = UInt64(UInt(bitPattern: descriptors))
        address.avail_user_addr = UInt64(UInt(bitPattern: available))
        address.used_user_addr = UInt64(UInt(bitPattern: used))
        try check(clinux_ioctl(fd.raw, CLINUX_VHOST_SET_VRING_ADDR, &address), "VHOST_SET_VRING_ADDR")
        var kick = vhost_vring_file(index: index, fd: queue.kick)
        try check(clinux_ioctl(fd.raw, CLINUX_VHOST_SET_VRING_KICK, &kick), "VHOST_SET_VRING_KICK")
        var call = vhost_vring_file(index: index, fd: queue.call)
        try check(clinux_ioctl(fd.raw, CLINUX_VHOST_SET_VRING_CALL, &call), "VHOST_SET_VRING_CALL")
    }

    private func setBackend(_ index: UInt32, _ tap: Int32) throws(UrsaError) {
        var backend = vhost_vring_file(index: index, fd: tap)
        try check(clinux_ioctl(fd.raw, CLINUX_VHOST_NET_SET_BACKEND, &backend), "VHOST_NET_SET_BACKEND")
    }

    /// Takes the queues back: the kernel touches the guest's memory no more.
    func stop() {
        for index in 0..<2 as Range<UInt32> { try? setBackend(index, -1) }
    }
}
