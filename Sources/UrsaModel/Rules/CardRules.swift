import UrsaBase

extension NICSpec {
    /// The rules that need nothing but the card itself.
    func findings(_ path: SpecPath) -> [Finding] {
        var findings: [Finding] = []
        if let mac, mac.isMulticast || mac.value == 0 {
            let why = mac.isMulticast ? "names a group: its first byte is odd" : "is all zeros"
            findings.append(
                Finding(
                    path: path.member("mac"), message: "the Ethernet address \(mac) \(why)",
                    remedy: "take one like 52:54:00:12:34:56, or leave it out"))
        }
        // One rate for both ways is told once.
        let rates = sendRate == receiveRate ? [sendRate] : [sendRate, receiveRate]
        for case let rate? in rates where !Limits.rate.contains(rate) {
            findings.append(
                Finding(
                    path: path.member("rate"), message: "a rate of \(rate) bits per second can't be",
                    remedy: "it is \(Limits.rate.lowerBound) to \(Limits.rate.upperBound)"))
        }
        if let mtu, !Limits.mtu.contains(mtu) {
            findings.append(
                Finding(
                    path: path.member("mtu"), message: "an MTU of \(mtu) can't be",
                    remedy: "it is \(Limits.mtu.lowerBound) to \(Limits.mtu.upperBound) bytes"))
        }
        return findings
    }

    /// The rules between the card and its network.
    func findings(_ path: SpecPath, on network: NetworkSpec) -> [Finding] {
        var findings: [Finding] = []
        func add(_ member: String, _ message: String, _ remedy: String?) {
            findings.append(Finding(path: path.member(member), message: message, remedy: remedy))
        }
        if let address, let fault = network.addressFault(address) { add("address", fault.message, fault.remedy) }
        if let address6, let fault = network.addressFault(address6) { add("address6", fault.message, fault.remedy) }
        if network.model == .lan, address == nil {
            findings.append(
                Finding(
                    path: path, looksAt: [path.member("address")],
                    message: "a card on the LAN network \(shown(network.name)) needs an address of the LAN",
                    remedy: "write `{ \(network.name): { address: … } }`, with one that nobody there has"))
        }
        if let mtu, let limit = network.mtu, mtu > limit {
            add(
                "mtu", "an MTU of \(mtu) is more than the \(limit) of the network \(shown(network.name))",
                "make the network's larger, or this one smaller")
        }
        guard network.model == .user else { return findings }
        let options: [(Bool, String)] = [
            (isIsolated, "isolated"), (isGuarded, "anti-spoof"), (sendRate != nil || receiveRate != nil, "rate"),
        ]
        for (isSet, key) in options where isSet {
            add(
                key, "`\(key)` needs a network of the host; \(shown(network.name)) is of the model `user`",
                "remove it, or take another model")
        }
        return findings
    }
}
