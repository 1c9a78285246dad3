public import UrsaBase
public import UrsaModel

/// What a person is shown of one machine: the store's wishes beside the kernel's truth.
public struct MachineView: Sendable {
    /// Where a machine is in its life.
    public enum State: String, Sendable {
        /// Defined, never started or ended since.
        case stopped
        /// The engine is being started.
        case starting
        /// The engine runs.
        case running
        /// The guest's processors are halted by request.
        case paused
        /// The power button was pressed; the deadline runs.
        case stopping
        /// Ended by itself; the keeper is about to start it again.
        case restarting
        /// Ended for a reason that nobody asked for.
        case failed
        /// The engine runs, but its keeper is gone; the next `ursa start NAME` or `ursa up` brings one back.
        case orphaned
    }

    /// Name, also the host name of the guest.
    public var name: String
    /// Where it is in its life.
    public var state: State
    /// Why it is not running, in words; nil while it runs or when it never ran.
    public var reason: String?
    /// What it was made with.
    public var spec: MachineSpec
    /// Spec file it belongs to, nil for machines of `ursa run`.
    public var project: String?
    /// Network cards with the addresses given out.
    public var cards: [CardView]
    /// Seconds since 1970 of the last start, nil when it does not run.
    public var started: Double?
    /// Seconds since 1970 when it was made.
    public var made: Double
    /// How often its keeper has started it again since the last start by a person.
    public var restarts: Int
    /// Process id of the engine while it runs.
    public var enginePid: Int32?
    /// Process id of the keeper while it runs.
    public var keeperPid: Int32?
    /// What runs it, or ran it last: `native`, `qemu`; nil when it never ran.
    public var engine: String?
    /// Accelerator of the running engine: `kvm`, `tcg`.
    public var accelerator: String?
    /// Versioned machine type, pinned when the machine was made: `pc-q35-7.2`, `ursa-1`.
    public var machineType: String

    /// How it is reached by vsock; nil when it did not ask for that.
    public var vsock: VsockView?

    /// The view as JSON, for `--json`.
    public var json: JSON {
        .record([
            "name": .string(name),
            "state": .string(state.rawValue),
            "reason": reason.map(JSON.string),
            "image": .string(spec.image),
            "cpus": .integer(Int64(spec.cpus)),
            "memory": .integer(Int64(spec.memory.bytes)),
            "project": project.map(JSON.string),
            "cards": .array(cards.map(\.json)),
            "vsock": vsock?.json,
            "publish": .array(spec.publish.map { .string($0.description) }),
            "restart": .string(spec.restart.description),
            "made": .string(timestamp(made)),
            "started": started.map { .string(timestamp($0)) },
            "restarts": .integer(Int64(restarts)),
            "engine": .string(engine ?? spec.engine.rawValue),
            "accelerator": accelerator.map(JSON.string),
            "machineType": .string(machineType),
            "enginePid": enginePid.map { .integer(Int64($0)) },
            "keeperPid": keeperPid.map { .integer(Int64($0)) },
        ])
    }
}

/// One network card as it was given out.
public struct CardView: Sendable, Hashable {
    /// Network it is on.
    public var network: String
    /// Ethernet address, fixed for the machine's life.
    public var mac: MACAddress
    /// IPv4 address, fixed for the machine's life; nil on user networks.
    public var address: IPv4Address?
    /// IPv6 address, fixed for the machine's life; nil on user networks and where IPv6 is off.
    public var address6: IPv6Address?

    /// The card as JSON.
    public var json: JSON {
        .record([
            "network": .string(network), "mac": .string(mac.description),
            "address": address.map { .string($0.description) }, "address6": address6.map { .string($0.description) },
        ])
    }
}

/// How programs of the host and of a machine reach each other by vsock.
public struct VsockView: Sendable, Hashable {
    /// The machine's address, fixed for its life.
    public var cid: UInt32
    /// Where programs of the host connect, to reach a port of the guest by the line `CONNECT PORT`.
    public var socket: String
    /// Where programs of the host listen, at sockets named by port numbers, for connections of the guest.
    public var folder: String

    /// The paths in a machine's folder.
    init(cid: UInt32, machineFolder: String) {
        self.cid = cid
        socket = machineFolder + "/vsock.sock"
        folder = machineFolder + "/vsock"
    }

    /// The view as JSON.
    public var json: JSON {
        ["cid": .integer(Int64(cid)), "socket": .string(socket), "folder": .string(folder)]
    }
}

/// What one machine uses now.
public struct UsageView: Sendable {
    /// Name of the machine.
    public var name: String
    /// Processor time used since the engine's start, seconds.
    public var cpuSeconds: Double
    /// Memory of the engine that is resident, bytes.
    public var memory: ByteCount
    /// Memory of the keeper that is resident, bytes.
    public var keeperMemory: ByteCount
    /// Bytes read from disks since the start.
    public var diskRead: UInt64
    /// Bytes written to disks since the start.
    public var diskWritten: UInt64
    /// Bytes the guest received since the start, nil when unknown.
    public var received: UInt64?
    /// Bytes the guest sent since the start, nil when unknown.
    public var sent: UInt64?
}
