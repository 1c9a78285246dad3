import UrsaBase

/// One client's side of the QEMU Machine Protocol, without any input or output of its own: bytes of requests go in,
/// lines of answers come out. Source: QEMU, docs/interop/qmp-spec.
///
/// The client is not trusted: requests are bounded in size and depth, and are taken one at a time.
struct MonitorSession {
    /// The version that is told: ours, in the place where QEMU's stands.
    static let version: JSON = [
        "qemu": ["micro": 0, "minor": 1, "major": 0], "package": "ursa-vmm",
    ]

    private var reader = RequestReader()
    /// Whether the client has ended the negotiation: commands and events flow.
    private(set) var isReady = false
    /// Whether nothing that follows can be understood; the connection ends when the answers are sent.
    private(set) var isBroken = false

    /// The first line.
    static var greeting: [UInt8] { JSON.record(["QMP": ["version": version, "capabilities": []]]).line }

    /// Takes in what the client sent.
    mutating func append(_ bytes: some Collection<UInt8>) { if !isBroken { reader.append(bytes) } }

    /// Carries out the next request and returns its answer; nil when no whole request is there.
    mutating func next(_ machine: any MonitoredMachine) -> JSON? {
        guard !isBroken else { return nil }
        let bytes: [UInt8]
        do throws(RequestReader.Fault) {
            guard let request = try reader.next() else { return nil }
            bytes = request
        } catch {
            switch error {
            case .syntax: return MonitorSession.answer(nil, .failure(MonitorRefusal("Invalid JSON syntax")))
            case .tooLong, .tooDeep:
                isBroken = true
                let limit =
                    error == .tooLong
                    ? "longer than \(RequestReader.sizeLimit) bytes" : "deeper than \(RequestReader.depthLimit) levels"
                return MonitorSession.answer(nil, .failure(MonitorRefusal("a request is \(limit)")))
            }
        }
        guard let request = try? JSON.parse(bytes, depth: RequestReader.depthLimit + 1) else {
            return MonitorSession.answer(nil, .failure(MonitorRefusal("Invalid JSON syntax")))
        }
        let id = request["id"]
        do throws(MonitorRefusal) {
            return MonitorSession.answer(id, .success(try take(request, machine)))
        } catch {
            return MonitorSession.answer(id, .failure(error))
        }
    }

    private static func answer(_ id: JSON?, _ result: Result<JSON, MonitorRefusal>) -> JSON {
        switch result {
        case .success(let value): .record(["return": value, "id": id])
        case .failure(let refusal): .record(["error": refusal.json, "id": id])
        }
    }

    /// The order of checks and their words are QEMU's (qapi/qmp-dispatch.c), since people's tools know them.
    private mutating func take(_ request: JSON, _ machine: any MonitoredMachine) throws(MonitorRefusal) -> JSON {
        for member in request.members ?? [] where !["execute", "arguments", "id"].contains(member.name) {
            throw MonitorRefusal("QMP input member '\(member.name)' is unexpected")
        }
        guard let execute = request["execute"] else { throw MonitorRefusal("QMP input lacks member 'execute'") }
        guard let name = execute.string else { throw MonitorRefusal("QMP input member 'execute' must be a string") }
        let arguments = request["arguments"] ?? [:]
        guard arguments.members != nil else {
            throw MonitorRefusal("QMP input member 'arguments' must be an object")
        }
        if name == "qmp_capabilities" {
            guard !isReady else {
                throw MonitorRefusal(
                    .unknown, "Capabilities negotiation is already complete, command ignored")
            }
            for wish in arguments["enable"]?.array ?? [] {
                throw MonitorRefusal("Capability '\(wish.string ?? wish.text)' is not available")
            }
            isReady = true
            return [:]
        }
        guard isReady else {
            throw MonitorRefusal(.unknown, "Expecting capabilities negotiation with 'qmp_capabilities'")
        }
        guard let command = MonitorCommand(rawValue: name) else {
            throw MonitorRefusal(.unknown, "The command \(name) has not been found")
        }
        return try command.run(arguments, on: machine)
    }
}
