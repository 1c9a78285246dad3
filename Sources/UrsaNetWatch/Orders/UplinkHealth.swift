import UrsaBase

/// What the watcher has found out about an uplink: a small file of the run folder, read by whoever plans.
public struct UplinkHealth: Sendable, Hashable {
    /// Whether new connections may use it.
    public var isHealthy: Bool
    /// Since when, in seconds since 1970.
    public var since: Double
    /// What was found, in words.
    public var words: String

    private static func path(_ folder: String, _ name: String) -> String { "\(folder)/uplinks/\(name).json" }

    /// What is known of an uplink; nil before the first finding.
    public static func read(folder: String, name: String) -> UplinkHealth? {
        guard let bytes = try? File.read(path(folder, name), limit: 4096), let json = try? JSON.parse(bytes),
            let isHealthy = json["healthy"]?.bool
        else { return nil }
        return UplinkHealth(
            isHealthy: isHealthy, since: json["since"]?.string.flatMap(seconds(ofTimestamp:)) ?? 0,
            words: json["words"]?.string ?? "")
    }

    func write(folder: String, name: String) throws(UrsaError) {
        try File.makeDirectory(folder + "/uplinks")
        let json = JSON.record([
            "healthy": .bool(isHealthy), "since": .string(timestamp(since)), "words": .string(words),
        ])
        try File.replace(UplinkHealth.path(folder, name), json.line, durable: false)
    }

    /// Forgets what is known of uplinks that are not among these.
    public static func forget(folder: String, except names: Set<String>) {
        for file in File.list(folder + "/uplinks") where !names.contains(String(file.dropLast(5))) {
            try? File.remove("\(folder)/uplinks/\(file)")
        }
        if names.isEmpty { try? File.removeTree(folder + "/uplinks") }
    }
}
