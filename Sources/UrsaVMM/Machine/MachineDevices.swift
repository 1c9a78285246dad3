import Glibc
import UrsaBase
import UrsaDisk

extension Machine {
    /// Slots of devices on the PCI bus, as the QEMU engine has them, so that names in the guest agree.
    private enum Slot {
        static let disks = 4, cards = 0x10, entropy = 0x1a, balloon = 0x1b, vsock = 0x1c, console = 0x1d
    }

    /// Makes the devices that the configuration names. A new kind of device gets its line here.
    func attachDevices() throws(UrsaError) {
        for (index, disk) in configuration.disks.enumerated() {
            let device = try makeDisk(disk, index)
            blocks.append(device)
            try devices.attach(device, slot: Slot.disks + index)
        }
        for (index, card) in configuration.nics.enumerated() {
            try devices.attach(try makeCard(card), slot: Slot.cards + index)
        }
        if configuration.hasEntropy { try devices.attach(EntropyDevice(), slot: Slot.entropy) }
        if configuration.hasBalloon {
            let device = BalloonDevice(ram) { [events] actual in events.send(.balloon(actual: actual)) }
            balloonDevice = device
            try devices.attach(device, slot: Slot.balloon)
        }
        if let vsock = configuration.vsock {
            let listener = vsock.listener.map { SharedFD(OwnedFD($0)) }
            let broker = vsock.broker.map { SharedFD(OwnedFD($0)) }
            try devices.attach(
                try VsockDevice(cid: vsock.cid, listener: listener, broker: broker, log: { MonitorProgram.log($0) }),
                slot: Slot.vsock)
        }
        if let listener = configuration.virtioConsole {
            try devices.attach(try ConsoleDevice(listener: OwnedFD(listener)), slot: Slot.console)
        }
    }

    private func makeCard(_ card: MachineConfiguration.NIC) throws(UrsaError) -> NetworkDevice {
        var backends: [NetworkBackend] = []
        switch card.backend {
        case .tap(let queues, let kernel):
            for (index, tap) in queues.enumerated() {
                if index < kernel.count {
                    backends.append(try .tap(OwnedFD(tap), vhost: OwnedFD(kernel[index])))
                } else {
                    backends.append(try .tap(OwnedFD(tap)))
                }
            }
        case .frames(let socket): backends = [try .frames(OwnedFD(socket))]
        }
        return try NetworkDevice(backends, mac: card.mac, mtu: card.mtu.map { UInt16(clamping: $0) }) {
            MonitorProgram.log("net: \($0)")
        }
    }

    private func makeDisk(_ disk: MachineConfiguration.Disk, _ index: Int) throws(UrsaError) -> BlockDevice {
        let events = events
        let image = try openLayers(disk, index)
        return try BlockDevice(
            image, readOnly: disk.isReadOnly, serial: disk.serial, queues: min(configuration.cpus, 8)
        ) { fault in
            events.send(
                .blockError(
                    disk: index, fault.operation == .read ? .read : .write, noSpace: fault.isOutOfSpace,
                    reason: fault.reason.message))
        }
    }

    private func openLayers(_ disk: MachineConfiguration.Disk, _ index: Int) throws(UrsaError) -> any DiskWriter {
        func layer(_ number: Int) -> DiskLayers.Layer {
            let layer = disk.layers[number]
            return DiskLayers.Layer(
                OwnedFD(layer.fd), format: layer.format == .raw ? .raw : .qcow2,
                name: "disks[\(index)].layers[\(number)]")
        }
        var backing: (any DiskReader)?
        for number in stride(from: disk.layers.count - 1, to: 0, by: -1) {
            if let below = backing {
                backing = try DiskLayers.open(layer(number), over: below)
            } else {
                backing = try DiskLayers.openBase(layer(number))
            }
        }
        return try DiskLayers.openTop(layer(0), over: backing, readOnly: disk.isReadOnly)
    }
}
