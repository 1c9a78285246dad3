import UrsaBase

extension MachineSpec {
    /// The rules that need nothing but the machine itself.
    func findings(_ path: SpecPath) -> [Finding] {
        nameFindings(path) + sizeFindings(path) + bootFindings(path) + cardFindings(path)
    }

    private func nameFindings(_ path: SpecPath) -> [Finding] {
        var findings: [Finding] = []
        if let fault = NameRules.fault(name, what: "machine", length: Limits.machineNameLength) {
            findings.append(Finding(path: path, message: fault.message, remedy: fault.remedy))
        } else if Limits.reservedMachineNames.contains(name) {
            findings.append(
                Finding(
                    path: path,
                    message: "no machine can be named \(shown(name)): the name means something else already",
                    remedy: "choose another name"))
        }
        if let fault = NameRules.imageFault(image) {
            findings.append(Finding(path: path.with("image"), message: fault.message, remedy: fault.remedy))
        }
        return findings
    }

    private func sizeFindings(_ path: SpecPath) -> [Finding] {
        var findings: [Finding] = []
        func add(_ key: String, _ message: String, _ remedy: String) {
            findings.append(Finding(path: path.with(key), message: message, remedy: remedy))
        }
        if !Limits.cpus.contains(cpus) {
            add(
                "cpus", "a machine can't have \(cpus) processors",
                "it has \(Limits.cpus.lowerBound) to \(Limits.cpus.upperBound)")
        }
        if let fault = MachineSpec.sizeFault("memory", memory, Limits.memory) { add("memory", fault.0, fault.1) }
        if let disk, let fault = MachineSpec.sizeFault("disk", disk, Limits.disk) { add("disk", fault.0, fault.1) }
        if !Limits.stopTimeout.contains(stopTimeout) {
            add(
                "stop-timeout", "a stop timeout of \(stopTimeout) s can't be",
                "it is \(Limits.stopTimeout.lowerBound) to \(Limits.stopTimeout.upperBound) seconds")
        }
        if case .onFailure(let limit?) = restart, !Limits.restarts.contains(limit) {
            add("restart", "a machine can't restart \(limit) times", "say on-failure:1 or more, or on-failure")
        }
        if readyPort == 0 { add("ready-port", "there is no port 0", "ports are 1 to 65535") }
        return findings
    }

    /// What is wrong with a size, nil when nothing is.
    private static func sizeFault(
        _ what: String, _ size: ByteCount, _ limits: ClosedRange<ByteCount>
    ) -> (String, String)? {
        let range = "it is \(limits.lowerBound) to \(limits.upperBound), in whole MiB"
        if size < limits.lowerBound {
            // A bare number of bytes that is a sensible number of MiB was meant as that.
            let meant = ByteCount.mebibytes(size.bytes)
            let isBare = size.bytes >= 64 && limits.contains(meant)
            return ("a \(what) of \(size.rounded) is too small", isBare ? "\(range): `\(size.bytes)M`?" : range)
        }
        if size > limits.upperBound { return ("a \(what) of \(size.rounded) is too large", range) }
        if size.bytes % (1 << 20) != 0 {
            return ("a \(what) of \(size.bytes) bytes is not a whole number of MiB", range)
        }
        return nil
    }

    private func bootFindings(_ path: SpecPath) -> [Finding] {
        var findings: [Finding] = []
        if let text = kernelArguments {
            let key = path.with("kernel-arguments")
            if text.trimmed.isEmpty {
                findings.append(Finding(path: key, message: "the kernel arguments are empty", remedy: "leave them out"))
            } else if text.unicodeScalars.contains(where: { !$0.isASCII || isHarmful($0) }) {
                findings.append(
                    Finding(
                        path: key, message: "the kernel arguments hold a line end or a character outside ASCII",
                        remedy: "write them on one line, as the kernel reads them"))
            } else if text.utf8.count > Limits.kernelArgumentsLength {
                findings.append(
                    Finding(
                        path: key, message: "the kernel arguments have \(text.utf8.count) bytes",
                        remedy: "at most \(Limits.kernelArgumentsLength) fit"))
            }
        }
        if sshKeys.count > Limits.sshKeys {
            findings.append(
                Finding(
                    path: path.with("ssh-keys"), message: "\(sshKeys.count) ssh keys are too many",
                    remedy: "at most \(Limits.sshKeys) are allowed"))
        }
        for (index, key) in sshKeys.prefix(Limits.sshKeys).enumerated() {
            guard let fault = SSHKeyRule.fault(key) else { continue }
            findings.append(
                Finding(path: path.with("ssh-keys", item: index), message: fault.message, remedy: fault.remedy))
        }
        return findings
    }

    private func cardFindings(_ path: SpecPath) -> [Finding] {
        var findings: [Finding] = []
        if networks.count > Limits.cards {
            findings.append(
                Finding(
                    path: path.with("networks"), message: "\(networks.count) network cards are too many",
                    remedy: "a machine has at most \(Limits.cards)"))
        }
        for (index, card) in networks.enumerated() {
            findings += card.findings(path.with("networks", item: index))
            if let fault = NameRules.fault(card.network, what: "network", length: Limits.networkNameLength) {
                findings.append(
                    Finding(
                        path: path.with("networks", item: index), message: fault.message, remedy: fault.remedy))
            }
        }
        if publish.count > Limits.publishedPorts {
            findings.append(
                Finding(
                    path: path.with("publish"), message: "\(publish.count) published ports are too many",
                    remedy: "a machine has at most \(Limits.publishedPorts)"))
        }
        if !publish.isEmpty, networks.isEmpty {
            findings.append(
                Finding(
                    path: path.with("publish"), looksAt: [path.with("networks")],
                    message: "the machine publishes ports but has no network card",
                    remedy: "give it a network, for example `networks: [default]`"))
        }
        for (index, port) in publish.prefix(Limits.publishedPorts).enumerated() {
            if let fault = port.fault {
                findings.append(
                    Finding(path: path.with("publish", item: index), message: fault.message, remedy: fault.remedy))
            }
        }
        return findings
    }

    /// Why ports of the host can't lead to a machine on networks of these models.
    static func unreachable(_ models: [NetworkSpec.Model?]) -> String {
        if models.isEmpty { return "it has no network card" }
        if models.allSatisfy({ $0 == .isolated }) { return "nothing from outside reaches an isolated network" }
        if models.allSatisfy({ $0 == .bridged }) { return "it has an address of the LAN itself, and is reached there" }
        if models.allSatisfy({ $0 == .user }) { return "the model `user` has no address that the host reaches" }
        return "it is on no network that the host forwards to"
    }

    /// The rules between the machine and the networks it is on.
    ///
    /// Ports that are published lead to the first card that the host's own tables, or the engine, can send them to.
    func findings(_ path: SpecPath, on networks: [NetworkSpec]) -> [Finding] {
        findings(path, on: Dictionary(networks.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first }))
    }

    func findings(_ path: SpecPath, on networks: [String: NetworkSpec]) -> [Finding] {
        var findings: [Finding] = []
        let models = self.networks.map { card in
            networks[card.network]?.model ?? (card.network == NetworkSpec.defaultName ? .nat : nil)
        }
        if !publish.isEmpty, !models.isEmpty, !models.contains(nil),
            !models.contains(where: { $0?.takesForwards ?? true || $0 == .user })
        {
            findings.append(
                Finding(
                    path: path.with("publish"), looksAt: [path.with("networks")],
                    message: "no port can lead to the machine \(shown(name)): \(MachineSpec.unreachable(models))",
                    remedy: "give it a card on a network of the model nat, routed or lan"))
        }
        // A name that can't be has been told by the machine's own rules.
        for (index, card) in self.networks.enumerated()
        where NameRules.fault(card.network, what: "network", length: Limits.networkNameLength) == nil {
            let item = path.with("networks", item: index)
            guard let network = networks[card.network] ?? (card.network == NetworkSpec.defaultName ? .implied : nil)
            else {
                let names = networks.keys.sorted() + (networks[NetworkSpec.defaultName] == nil ? ["default"] : [])
                let remedy =
                    if let near = nearMiss(card.network, among: names) {
                        "did you mean `\(near)`?"
                    } else if names.count <= 8 {
                        "the networks are \(names.map { "`\($0)`" }.joined(separator: ", "))"
                    } else {
                        "define it under `networks:`"
                    }
                findings.append(
                    Finding(path: item, message: "there is no network \(shown(card.network))", remedy: remedy))
                continue
            }
            findings += card.findings(item, on: network)
        }
        return findings
    }
}

extension PublishSpec {
    /// What is wrong with a published port, nil when nothing is.
    var fault: (message: String, remedy: String)? {
        if hostPort == 0 || guestPort == 0 { return ("there is no port 0", "ports are 1 to 65535") }
        switch hostAddress {
        case .v4(let address) where address.value >> 28 >= 0xe:
            return ("no port can be published at \(address)", "name an address of this host, or none")
        case .v6(let address) where address.high == 0 && address.low == 1:
            // IPv6 has no counterpart of route_localnet: nothing could ever be answered from there.
            return ("no port can be published at ::1", "name 127.0.0.1, or no address for all of this host's")
        case .v6(let address) where address.high >> 56 == 0xff:
            return ("no port can be published at \(address)", "name an address of this host, or none")
        default: return nil
        }
    }
}
