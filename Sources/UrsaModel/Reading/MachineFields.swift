import UrsaBase

/// The keys of a machine.
enum MachineFields {
    /// All keys, in the order in which they are written.
    static let all: [Field<MachineSpec>] = [image, cpus, memory, disk, networks, publish, restart] + running

    private static let image = Field<MachineSpec>(
        key: "image",
        about: "Image of the catalogue or the store (`debian:12`), or a file by a path that starts with / or ./",
        schema: [
            "type": "string", "minLength": 1, "maxLength": .integer(Int64(Limits.pathLength)),
            "anyOf": [["pattern": .string(NameRules.imagePattern)], ["pattern": "^\\.{0,2}/.*[^/]$"]],
        ],
        option: "IMAGE", otherWords: ["box", "template", "from", "os"], isRequired: true,
        read: { tree, context, machine in
            if let text = context.text(tree, "image", example: "debian:12") { machine.image = text }
        },
        write: { .string($0.image) })

    private static let cpus = Field<MachineSpec>(
        key: "cpus", about: "Virtual processors.",
        schema: integerSchema(Limits.cpus, default: 1),
        option: "--cpus", otherWords: ["vcpu", "vcpus", "cores", "processors", "smp"],
        read: { tree, context, machine in
            if let number = context.integer(tree, "cpus", example: 2) { machine.cpus = number }
        },
        write: { .integer(Int64($0.cpus)) })

    private static let memory = Field<MachineSpec>(
        key: "memory",
        about: "Memory of the guest: a number with K, M, G or T (powers of 1024), 64M to 16T in whole MiB.",
        schema: sizeSchema(default: "512M"),
        option: "--memory", otherWords: ["ram", "mem", "mem_limit"],
        read: { tree, context, machine in
            if let size = context.size(tree, "memory", example: "512M") { machine.memory = size }
        },
        write: { .string("\($0.memory)") })

    private static let disk = Field<MachineSpec>(
        key: "disk",
        about:
            "Size of the machine's own disk, 1M to 64T in whole MiB, never below the image's; left out: the image's.",
        schema: sizeSchema(default: nil),
        option: "--disk", otherWords: ["storage", "disk-size", "size", "hdd"],
        read: { tree, context, machine in
            if let size = context.size(tree, "disk", example: "20G") { machine.disk = size }
        },
        write: { $0.disk.map { .string("\($0)") } })

    private static let networks = Field<MachineSpec>(
        key: "networks",
        about: "Network cards in order: names of networks, or `NAME: { address, mac }`. Left out: one card on the "
            + "network `default`; an empty list: no card.",
        schema: [
            "type": "array", "maxItems": .integer(Int64(Limits.cards)),
            "items": [
                "anyOf": [
                    ["$ref": "#/$defs/networkName"],
                    [
                        "type": "object", "minProperties": 1, "maxProperties": 1,
                        "propertyNames": ["$ref": "#/$defs/networkName"],
                        "additionalProperties": ["anyOf": [["type": "null"], ["$ref": "#/$defs/card"]]],
                    ],
                ]
            ],
        ],
        option: "--network", otherWords: ["network", "nics", "nic", "interfaces", "nets"],
        read: { tree, context, machine in CardFields.readList(tree, &context, &machine) },
        write: { .array($0.networks.map(CardFields.write)) })

    private static let publish = Field<MachineSpec>(
        key: "publish",
        about: "Ports of the host that lead into the machine: `[HOSTADDRESS:]HOSTPORT:GUESTPORT[/tcp|/udp]`.",
        schema: [
            "type": "array", "maxItems": .integer(Int64(Limits.publishedPorts)),
            "items": [
                "type": "string",
                "pattern":
                    "^(([0-9]{1,3}(\\.[0-9]{1,3}){3}|\\[[0-9A-Fa-f:.]+\\]):)?[0-9]{1,5}:[0-9]{1,5}(/(tcp|udp))?$",
            ],
            "examples": [["8080:80", "127.0.0.1:5353:53/udp"]],
        ],
        option: "--publish", otherWords: ["ports", "port", "forward", "expose"],
        read: { tree, context, machine in
            guard let items = context.list(tree, "publish", example: "[\"8080:80\"]") else { return }
            for item in items {
                guard let text = context.word(item, "publish", example: "[\"8080:80\"]") else { continue }
                do throws(UrsaError) {
                    let port = try PublishSpec(parsing: text)
                    context.note(item: machine.publish.count, item.place)
                    machine.publish.append(port)
                } catch {
                    context.fault(item.place, error)
                }
            }
        },
        write: { .array($0.publish.map { .string("\($0)") }) })

    private static let restart = Field<MachineSpec>(
        key: "restart",
        about: "What happens when the machine ends by itself: `no`, `on-failure` (a crash or a panic), `on-failure:N` "
            + "(at most N times in a row) or `always`.",
        schema: ["type": "string", "pattern": "^(no|always|on-failure(:[1-9][0-9]{0,6})?)$", "default": "no"],
        option: "--restart", otherWords: ["restart-policy", "autorestart"],
        read: { tree, context, machine in
            guard let word = context.word(tree, "restart", example: "on-failure") else { return }
            do throws(UrsaError) { machine.restart = try RestartPolicy(parsing: word) } catch {
                context.fault(tree.place, error)
            }
        },
        write: { .string("\($0.restart)") })

    private static let running: [Field<MachineSpec>] = [
        Field(
            key: "engine", about: "What runs the machine: `auto` takes the best one that the host has.",
            schema: choiceSchema(EngineChoice.auto),
            option: "--engine", otherWords: ["hypervisor", "driver", "provider"],
            read: { tree, context, machine in
                if let choice: EngineChoice = context.choice(tree, "engine") { machine.engine = choice }
            },
            write: { .string($0.engine.rawValue) }),
        Field(
            key: "accelerator",
            about: "How guest code is executed: `auto` takes KVM where it can run stock kernels, else emulation.",
            schema: choiceSchema(AcceleratorChoice.auto),
            option: "--accelerator", otherWords: ["accel", "kvm"],
            read: { tree, context, machine in
                if let choice: AcceleratorChoice = context.choice(tree, "accelerator") { machine.accelerator = choice }
            },
            write: { .string($0.accelerator.rawValue) }),
        Field(
            key: "vsock",
            about:
                "Whether programs of host and guest reach each other by vsock, over unix sockets in the machine's folder.",
            schema: ["type": "boolean", "default": false],
            option: "--vsock", otherWords: ["virtio-vsock", "vhost-vsock", "cid"],
            read: { tree, context, machine in
                if let flag = context.flag(tree, "vsock") { machine.vsock = flag }
            },
            write: { $0.vsock ? .bool(true) : nil }),
        Field(
            key: "stop-timeout",
            about: "Time from the power button to the kill: seconds, or a number with s, m or h; 1s to 1h.",
            schema: [
                "type": ["integer", "string"], "minimum": .integer(Int64(Limits.stopTimeout.lowerBound)),
                "maximum": .integer(Int64(Limits.stopTimeout.upperBound)), "pattern": "^[0-9]{1,9}[smh]?$",
                "default": 30,
            ],
            option: "--stop-timeout", otherWords: ["timeout", "stop-grace-period", "stop_grace_period", "grace"],
            read: { tree, context, machine in
                guard let word = context.word(tree, "stop-timeout", example: "30s") else { return }
                do throws(UrsaError) { machine.stopTimeout = try Seconds(parsing: word).count } catch {
                    context.fault(tree.place, error)
                }
            },
            write: { .integer(Int64($0.stopTimeout)) }),
        Field(
            key: "ready-port",
            about:
                "TCP port of the guest that must accept connections before the machine counts as reachable; left out: the image's.",
            schema: ["type": "integer", "minimum": 1, "maximum": 65535],
            option: "--ready-port", otherWords: ["healthcheck", "health", "wait-port"],
            read: { tree, context, machine in
                guard let number = context.integer(tree, "ready-port", example: 22) else { return }
                guard let port = UInt16(exactly: number), port > 0 else {
                    context.fault(tree.place, "there is no port \(number)", remedy: "ports are 1 to 65535")
                    return
                }
                machine.readyPort = port
            },
            write: { $0.readyPort.map { .integer(Int64($0)) } }),
        Field(
            key: "kernel-arguments",
            about: "Text appended to the kernel command line, for images that are booted by their kernel.",
            schema: [
                "type": "string", "minLength": 1, "maxLength": .integer(Int64(Limits.kernelArgumentsLength)),
                "pattern": "^[ -~]*[!-~][ -~]*$",
            ],
            option: "--kernel-arguments", otherWords: ["append", "cmdline", "kernel-args", "kernel-cmdline", "kargs"],
            read: { tree, context, machine in
                if let text = context.text(tree, "kernel-arguments", example: "\"quiet\"") {
                    machine.kernelArguments = text.trimmed
                }
            },
            write: { $0.kernelArguments.map { .string($0) } }),
        Field(
            key: "ssh-keys", about: "OpenSSH public keys that may log in, besides Ursa's own: the lines of .pub files.",
            schema: [
                "type": "array", "maxItems": .integer(Int64(Limits.sshKeys)),
                "items": [
                    "type": "string", "maxLength": .integer(Int64(Limits.sshKeyLength)),
                    "pattern": .string("^(\(SSHKeyRule.types.joined(separator: "|"))) +[A-Za-z0-9+/]+={0,2}( .*)?$"),
                ],
            ],
            option: "--ssh-key", otherWords: ["ssh-key", "authorized-keys", "ssh-authorized-keys", "keys"],
            read: { tree, context, machine in
                guard let items = context.list(tree, "ssh-keys", example: "[\"ssh-ed25519 AAAA… name\"]") else {
                    return
                }
                for item in items {
                    guard let key = context.text(item, "ssh-keys", example: "[\"ssh-ed25519 AAAA… name\"]") else {
                        continue
                    }
                    context.note(item: machine.sshKeys.count, item.place)
                    machine.sshKeys.append(key.trimmed)
                }
            },
            write: { $0.sshKeys.isEmpty ? nil : .array($0.sshKeys.map { .string($0) }) }),
    ]

    private static func integerSchema(_ range: ClosedRange<Int>, default value: Int) -> JSON {
        [
            "type": "integer", "minimum": .integer(Int64(range.lowerBound)),
            "maximum": .integer(Int64(range.upperBound)),
            "default": .integer(Int64(value)),
        ]
    }

    private static func sizeSchema(default value: String?) -> JSON {
        .record([
            "type": ["string", "integer"], "pattern": "^[0-9]+ *([KMGTkmgt]([Ii]?[Bb])?|[Bb])?$",
            "default": value.map { .string($0) },
        ])
    }

    static func choiceSchema<T: RawRepresentable & CaseIterable>(_ value: T) -> JSON where T.RawValue == String {
        ["enum": .array(T.allCases.map { .string($0.rawValue) }), "default": .string(value.rawValue)]
    }
}

extension ReadContext {
    /// A number of bytes.
    mutating func size(_ tree: YAMLTree, _ key: String, example: String) -> ByteCount? {
        guard let word = word(tree, key, example: example) else { return nil }
        if let size = ByteCount(word) { return size }
        fault(
            tree.place, "`\(key)` can't be \(shown(word))",
            remedy: "write a whole number with K, M, G or T, for example `\(key): \(example)`")
        return nil
    }
}
