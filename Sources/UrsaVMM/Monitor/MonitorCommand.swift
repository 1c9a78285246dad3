import UrsaBase

/// The commands of a monitor: names, arguments and answers as QEMU has them (qapi/*.json).
enum MonitorCommand: String, CaseIterable {
    case queryStatus = "query-status"
    case stop
    case resume = "cont"
    case powerdown = "system_powerdown"
    case reset = "system_reset"
    case quit
    case queryVersion = "query-version"
    case queryCommands = "query-commands"
    case queryName = "query-name"
    case queryUUID = "query-uuid"
    case queryKVM = "query-kvm"
    case queryTarget = "query-target"
    case queryProcessors = "query-cpus-fast"
    case queryMemory = "query-memory-size-summary"
    case queryBlock = "query-block"
    case queryBalloon = "query-balloon"
    case balloon

    /// Names of the arguments it takes.
    private var arguments: [String] { self == .balloon ? ["value"] : [] }

    /// Carries it out.
    func run(_ given: JSON, on machine: any MonitoredMachine) throws(MonitorRefusal) -> JSON {
        for member in given.members ?? [] where !arguments.contains(member.name) {
            throw MonitorRefusal("Parameter '\(member.name)' is unexpected")
        }
        do throws(UrsaError) {
            switch self {
            case .stop: try machine.stop()
            case .resume: try machine.resume()
            case .powerdown: try machine.pressPowerButton()
            case .reset: try machine.reset()
            case .quit: machine.quit()
            case .balloon:
                guard machine.balloon != nil else { throw MonitorCommand.noBalloon }
                try machine.setBalloon(try MonitorCommand.bytes(given["value"]))
            default: return try query(machine)
            }
            return [:]
        } catch {
            throw MonitorRefusal(error)
        }
    }

    private static let noBalloon = UrsaError(.notFound, "No balloon device has been activated")

    private static func bytes(_ value: JSON?) throws(UrsaError) -> UInt64 {
        guard let value else { throw UrsaError(.usage, "Parameter 'value' is missing") }
        guard let bytes = value.integer, bytes > 0 else {
            throw UrsaError(.usage, "Parameter 'value' expects a size in bytes")
        }
        return UInt64(bytes)
    }

    private func query(_ machine: any MonitoredMachine) throws(UrsaError) -> JSON {
        switch self {
        case .queryStatus:
            let isRunning = machine.state == .running
            return [
                "running": .bool(isRunning), "singlestep": false, "status": .string(machine.state.rawValue),
            ]
        case .queryVersion: return MonitorSession.version
        case .queryCommands:
            return .array(
                (["qmp_capabilities"] + MonitorCommand.allCases.map(\.rawValue)).map { ["name": .string($0)] })
        case .queryName: return ["name": .string(machine.name)]
        case .queryUUID: return ["UUID": .string(machine.uuid)]
        case .queryKVM: return ["enabled": true, "present": true]
        case .queryTarget: return ["arch": "x86_64"]
        case .queryProcessors: return .array(machine.processors.map(\.json))
        case .queryMemory: return ["base-memory": .integer(Int64(clamping: machine.memory)), "plugged-memory": 0]
        case .queryBlock: return .array(machine.disks.enumerated().map { $1.json(position: $0) })
        case .queryBalloon:
            guard let actual = machine.balloon else { throw MonitorCommand.noBalloon }
            return ["actual": .integer(Int64(clamping: actual))]
        case .stop, .resume, .powerdown, .reset, .quit, .balloon: return [:]
        }
    }
}

extension MonitoredProcessor {
    /// CpuInfoFast of qapi/machine.json.
    fileprivate var json: JSON {
        [
            "thread-id": .integer(Int64(thread)),
            "props": ["core-id": .integer(Int64(index)), "thread-id": 0, "socket-id": 0],
            "qom-path": .string("/machine/unattached/device[\(index)]"), "cpu-index": .integer(Int64(index)),
            "target": "x86_64",
        ]
    }
}

extension MonitoredDisk {
    /// BlockInfo of qapi/block-core.json, with the names that the disk has in QEMU's command line of ours. File names
    /// are not known here: the disks came as descriptors.
    fileprivate func json(position: Int) -> JSON {
        [
            "device": "", "qdev": .string("/machine/peripheral/vd\(position)/virtio-backend"), "type": "unknown",
            "locked": false, "removable": false, "io-status": "ok",
            "inserted": [
                "node-name": .string("disk\(position)"), "drv": .string(format), "ro": .bool(isReadOnly), "file": "",
                "encrypted": false, "backing_file_depth": .integer(Int64(backingLayers)), "detect_zeroes": "off",
                "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0, "write_threshold": 0,
                "cache": ["writeback": true, "direct": false, "no-flush": false],
                "image": [
                    "filename": "", "format": .string(format), "virtual-size": .integer(Int64(clamping: size)),
                ],
            ],
        ]
    }
}
