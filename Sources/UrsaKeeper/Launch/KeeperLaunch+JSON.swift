public import UrsaBase

extension KeeperLaunch {
    /// The stored form.
    public var json: JSON {
        .record([
            "version": 1,
            "machine": .string(machine),
            "name": .string(name),
            "program": .string(program),
            "arguments": .array(arguments.map(JSON.string)),
            "environment": .array(environment.map(JSON.string)),
            "user": user.map { user in
                .record([
                    "uid": .integer(Int64(user.uid)), "gid": .integer(Int64(user.gid)),
                    "groups": .array(user.groups.map { .integer(Int64($0)) }),
                ])
            },
            "files": .array(
                files.map { file in
                    .record([
                        "fd": .integer(Int64(file.fd)), "path": .string(file.path),
                        "access": file.isWritable ? "rw" : "ro",
                    ])
                }),
            "inherited": .array(inherited.map { .integer(Int64($0)) }),
            "sockets": .array(
                sockets.map { socket in
                    .record([
                        "name": .string(socket.name), "fd": .integer(Int64(socket.fd)),
                        "purpose": .string(socket.purpose.rawValue),
                    ])
                }),
            "restart": .string(restart.text),
            "pace": .array([.number(pace.first), .number(pace.longest), .number(pace.steady)]),
            "stopTimeout": .integer(Int64(stopTimeout)),
            "startTimeout": .number(startTimeout),
            "settle": .array(settle.map(JSON.string)),
            "events": eventsPath.map(JSON.string),
            "logLimit": .integer(Int64(logLimit)),
        ])
    }

    /// Reads the stored form and validates it.
    ///
    /// - Throws: `.invalidSpec` naming the member that is wrong.
    public init(json: JSON) throws(UrsaError) {
        let reader = Reader(json: json)
        guard json["version"]?.integer == 1 else {
            throw UrsaError(.unsupported, "launch.json is of another version of Ursa", place: KeeperLaunch.fileName)
        }
        self.init(
            machine: try reader.text("machine"), name: try reader.text("name"), program: try reader.text("program"),
            arguments: try reader.texts("arguments"), environment: try reader.texts("environment"),
            inherited: try reader.numbers("inherited").map { Int32(clamping: $0) },
            restart: try Restart(text: reader.text("restart")), stopTimeout: try reader.number("stopTimeout"),
            startTimeout: try reader.decimal("startTimeout"), settle: try reader.texts("settle"),
            eventsPath: json["events"]?.string, logLimit: try reader.number("logLimit"))
        if let stored = json["user"] {
            let reader = Reader(json: stored)
            user = Program.User(
                uid: try reader.identifier("uid"), gid: try reader.identifier("gid"),
                groups: try reader.numbers("groups").map { UInt32(clamping: $0) })
        }
        for stored in try reader.list("files") {
            let reader = Reader(json: stored)
            files.append(
                EngineFile(
                    fd: Int32(clamping: try reader.number("fd")), path: try reader.text("path"),
                    isWritable: try reader.text("access") == "rw"))
        }
        for stored in try reader.list("sockets") {
            let reader = Reader(json: stored)
            guard let purpose = EngineSocket.Purpose(rawValue: try reader.text("purpose")) else {
                throw Reader.wrong("purpose")
            }
            sockets.append(
                EngineSocket(
                    name: try reader.text("name"), fd: Int32(clamping: try reader.number("fd")), purpose: purpose))
        }
        let paces = try reader.list("pace").compactMap(\.decimal)
        guard paces.count == 3 else { throw Reader.wrong("pace") }
        pace = Pace(first: paces[0], longest: paces[1], steady: paces[2])
        try validate()
    }

    /// Reads `launch.json` of a machine's folder.
    public static func read(folder: String) throws(UrsaError) -> KeeperLaunch {
        let path = folder + "/" + fileName
        let json = try JSON.parse(try File.read(path, limit: 4 << 20))
        do throws(UrsaError) { return try KeeperLaunch(json: json) } catch { throw error.at(path) }
    }

    private struct Reader {
        let json: JSON

        static func wrong(_ name: String) -> UrsaError {
            UrsaError(.invalidSpec, "the member \(name) is missing or wrong", place: KeeperLaunch.fileName)
        }
        func text(_ name: String) throws(UrsaError) -> String {
            guard let value = json[name]?.string else { throw Reader.wrong(name) }
            return value
        }
        func list(_ name: String) throws(UrsaError) -> [JSON] {
            guard let value = json[name]?.array else { throw Reader.wrong(name) }
            return value
        }
        func texts(_ name: String) throws(UrsaError) -> [String] {
            let values = try list(name)
            let texts = values.compactMap(\.string)
            guard texts.count == values.count else { throw Reader.wrong(name) }
            return texts
        }
        func numbers(_ name: String) throws(UrsaError) -> [Int64] {
            let values = try list(name)
            let numbers = values.compactMap(\.integer)
            guard numbers.count == values.count else { throw Reader.wrong(name) }
            return numbers
        }
        func number(_ name: String) throws(UrsaError) -> Int {
            guard let value = json[name]?.integer else { throw Reader.wrong(name) }
            return Int(value)
        }
        func identifier(_ name: String) throws(UrsaError) -> UInt32 {
            guard let value = json[name]?.integer, let id = UInt32(exactly: value) else { throw Reader.wrong(name) }
            return id
        }
        func decimal(_ name: String) throws(UrsaError) -> Double {
            guard let value = json[name]?.decimal else { throw Reader.wrong(name) }
            return value
        }
    }
}

extension KeeperLaunch.Restart {
    /// `no`, `on-failure`, `on-failure:5`, `always`, as in the spec.
    public var text: String {
        switch self {
        case .never: "no"
        case .onFailure(nil): "on-failure"
        case .onFailure(let limit?): "on-failure:\(limit)"
        case .always: "always"
        }
    }

    /// Reads the text form.
    public init(text: String) throws(UrsaError) {
        switch text {
        case "no": self = .never
        case "always": self = .always
        case "on-failure": self = .onFailure(limit: nil)
        default:
            let prefix = "on-failure:"
            guard text.hasPrefix(prefix), let limit = Int(text.dropFirst(prefix.count)), limit >= 0 else {
                throw UrsaError(.invalidSpec, "\(text) is no restart policy", place: KeeperLaunch.fileName)
            }
            self = .onFailure(limit: limit)
        }
    }
}

extension JSON {
    /// The number as a decimal, whichever way it was written.
    var decimal: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
}
