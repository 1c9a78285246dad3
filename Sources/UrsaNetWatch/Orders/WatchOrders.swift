import Glibc
public import UrsaBase

/// What the watcher of a home looks after. Written by whoever changes the host's networks, before the change; read anew
/// by the watcher whenever the file is replaced. Without the file it ends.
public struct WatchOrders: Sendable, Hashable {
    /// An uplink that is asked whether it works, or whose router is asked for its Ethernet address.
    public struct Uplink: Sendable, Hashable {
        /// Its name.
        public var name: String
        /// The host's link.
        public var interface: String
        /// The packet mark that leads to its table.
        public var mark: UInt32
        /// The router whose Ethernet address is followed, with the one known; nil when the interface is its own.
        public var router: Router?
        /// What must answer; nil: nothing is asked.
        public var check: Check?

        /// An uplink to look after.
        public init(name: String, interface: String, mark: UInt32, router: Router? = nil, check: Check? = nil) {
            self.name = name
            self.interface = interface
            self.mark = mark
            self.router = router
            self.check = check
        }
    }

    /// A router that shares its interface with another.
    public struct Router: Sendable, Hashable {
        /// Its address.
        public var address: IPv4Address
        /// Its Ethernet address as the host's table has it; nil: not known yet.
        public var mac: MACAddress?
        /// The host's address that asks.
        public var asker: IPv4Address

        /// A router to follow.
        public init(address: IPv4Address, mac: MACAddress?, asker: IPv4Address) {
            self.address = address
            self.mac = mac
            self.asker = asker
        }
    }

    /// A question by ICMP echo.
    public struct Check: Sendable, Hashable {
        /// Who is asked.
        public var target: IPAddress
        /// Seconds between questions, at least 1.
        public var interval: Int
        /// Lost answers in a row that end its service, and answers in a row that begin it again.
        public var threshold: Int

        /// A check.
        public init(target: IPAddress, interval: Int, threshold: Int) {
            self.target = target
            self.interval = interval
            self.threshold = threshold
        }
    }

    /// The moment at which a change is taken back unless it was confirmed.
    public struct Deadline: Sendable, Hashable {
        /// The boot that it is about: after another the change is taken back at once.
        public var boot: String
        /// On CLOCK_BOOTTIME, in seconds.
        public var seconds: Double

        /// A deadline.
        public init(boot: String, seconds: Double) {
            self.boot = boot
            self.seconds = seconds
        }
    }

    /// The argument vector that brings the host in line: `/usr/bin/ursa settle`.
    public var settle: [String]
    /// The event log.
    public var eventsPath: String
    /// The home's nftables table.
    public var table: String
    /// The home's own links on the host; one that goes, or goes down, is damage.
    public var links: [String]
    /// Links of uplinks: what changes about them matters.
    public var interfaces: [String]
    /// Whether the host must forward packets.
    public var needsForwarding: Bool
    /// Whether changes of other programs' tables matter.
    public var watchesOthers: Bool
    /// Uplinks to ask.
    public var uplinks: [Uplink]
    /// When an unconfirmed change is taken back.
    public var deadline: Deadline?

    /// Orders; see the properties.
    public init(
        settle: [String], eventsPath: String, table: String, links: [String] = [], interfaces: [String] = [],
        needsForwarding: Bool = false, watchesOthers: Bool = false, uplinks: [Uplink] = [], deadline: Deadline? = nil
    ) {
        self.settle = settle
        self.eventsPath = eventsPath
        self.table = table
        self.links = links
        self.interfaces = interfaces
        self.needsForwarding = needsForwarding
        self.watchesOthers = watchesOthers
        self.uplinks = uplinks
        self.deadline = deadline
    }

    /// Name of the file in the home's run folder.
    public static let fileName = "watch.json"
}

extension WatchOrders {
    /// The orders as JSON, the form of the file.
    public var json: JSON {
        .record([
            "settle": .array(settle.map { .string($0) }), "events": .string(eventsPath), "table": .string(table),
            "links": .array(links.map { .string($0) }), "interfaces": .array(interfaces.map { .string($0) }),
            "forwarding": .bool(needsForwarding), "others": .bool(watchesOthers),
            "uplinks": .array(uplinks.map(\.json)), "deadline": deadline?.json,
        ])
    }

    /// Reads the file's content.
    ///
    /// - Throws: `.io` when it is not of this form.
    public init(json: JSON) throws(UrsaError) {
        func texts(_ name: String) -> [String] { (json[name]?.array ?? []).compactMap(\.string) }
        guard let table = json["table"]?.string, let events = json["events"]?.string else {
            throw UrsaError(.io, "the watcher's orders are strange", place: WatchOrders.fileName)
        }
        self.init(
            settle: texts("settle"), eventsPath: events, table: table, links: texts("links"),
            interfaces: texts("interfaces"), needsForwarding: json["forwarding"]?.bool ?? false,
            watchesOthers: json["others"]?.bool ?? false,
            uplinks: (json["uplinks"]?.array ?? []).compactMap { Uplink(json: $0) },
            deadline: json["deadline"].flatMap { Deadline(json: $0) })
    }

    /// The orders in a run folder; nil when there are none.
    static func read(_ folder: String) -> WatchOrders? {
        guard let bytes = try? File.read(folder + "/" + fileName, limit: 1 << 22), let json = try? JSON.parse(bytes)
        else { return nil }
        return try? WatchOrders(json: json)
    }
}

extension WatchOrders.Uplink {
    fileprivate var json: JSON {
        .record([
            "name": .string(name), "interface": .string(interface), "mark": .integer(Int64(mark)),
            "router": router.map { router in
                .record([
                    "address": .string(router.address.description), "mac": router.mac.map { .string($0.description) },
                    "asker": .string(router.asker.description),
                ])
            },
            "check": check.map { check in
                .record([
                    "target": .string(check.target.description), "interval": .integer(Int64(check.interval)),
                    "threshold": .integer(Int64(check.threshold)),
                ])
            },
        ])
    }

    fileprivate init?(json: JSON) {
        guard let name = json["name"]?.string, let interface = json["interface"]?.string,
            let mark = json["mark"]?.integer.flatMap({ UInt32(exactly: $0) })
        else { return nil }
        self.init(name: name, interface: interface, mark: mark)
        if let router = json["router"], let address = router["address"]?.string.flatMap({ IPv4Address($0) }),
            let asker = router["asker"]?.string.flatMap({ IPv4Address($0) })
        {
            self.router = .init(
                address: address, mac: router["mac"]?.string.flatMap { MACAddress($0) }, asker: asker)
        }
        if let check = json["check"], let target = check["target"]?.string.flatMap({ IPAddress($0) }) {
            self.check = .init(
                target: target, interval: max(1, Int(clamping: check["interval"]?.integer ?? 1)),
                threshold: max(1, Int(clamping: check["threshold"]?.integer ?? 3)))
        }
    }
}

extension WatchOrders.Deadline {
    fileprivate var json: JSON {
        .record(["boot": .string(boot), "milliseconds": .integer(Int64(seconds * 1000))])
    }

    fileprivate init?(json: JSON) {
        guard let boot = json["boot"]?.string, let milliseconds = json["milliseconds"]?.integer else { return nil }
        self.init(boot: boot, seconds: Double(milliseconds) / 1000)
    }

    /// The deadline so many seconds from now.
    public static func after(seconds: Double) -> WatchOrders.Deadline {
        WatchOrders.Deadline(boot: bootIdentifier(), seconds: now + seconds)
    }

    /// Seconds that are left; 0 when it is over, and always after another boot.
    public var secondsLeft: Double {
        boot == bootIdentifier() ? max(0, seconds - WatchOrders.Deadline.now) : 0
    }

    /// CLOCK_BOOTTIME counts while the host sleeps, too.
    private static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
