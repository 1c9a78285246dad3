import UrsaBase

@testable import UrsaModel

extension Entry {
    /// What a person writes, or copies from a stranger.
    static let spec: [Entry] = [
        Entry("Spec", limit: 4096) { (bytes) throws(Violation) in
            guard let spec = try polite({ () throws(UrsaError) in try SpecReader.read(bytes, file: "f") }) else {
                return
            }
            try need(spec.validate().isEmpty, "a spec that was accepted breaks rules: \(spec.validate())")
            let again = try must("its own YAML is refused: \(spec.yaml)") { () throws(UrsaError) in
                try SpecReader.read(spec.yaml, file: "f")
            }
            try need(again == spec, "its YAML says something else: \(spec.yaml)")
            let stored = try must("its own JSON is refused") { () throws(UrsaError) in
                try Spec(json: JSON.parse(spec.json.text))
            }
            try need(stored == spec, "its JSON says something else: \(spec.json.text)")
        },

        Entry("SpecJSON", limit: 2048) { (bytes) throws(Violation) in
            guard let json = try accepted({ () throws(UrsaError) in try JSON.parse(bytes) }) else { return }
            if let machine = try accepted({ () throws(UrsaError) in try MachineSpec(json: json) }) {
                let again = try must("a machine does not read back") { () throws(UrsaError) in
                    try MachineSpec(json: machine.json)
                }
                try need(again == machine, "a machine reads back as another: \(machine.json.text)")
            }
            if let network = try accepted({ () throws(UrsaError) in try NetworkSpec(json: json) }) {
                let again = try must("a network does not read back") { () throws(UrsaError) in
                    try NetworkSpec(json: network.json)
                }
                try need(again == network, "a network reads back as another: \(network.json.text)")
            }
            _ = try accepted { () throws(UrsaError) in try Spec(json: json) }
        },

        Entry("Catalogue", limit: 2048) { (bytes) throws(Violation) in
            let text = String(decoding: bytes, as: UTF8.self)
            guard let catalogue = try polite({ () throws(UrsaError) in try Catalogue.read(text, file: "f") }) else {
                return
            }
            let again = try must("its own YAML is refused: \(catalogue.yaml)") { () throws(UrsaError) in
                try Catalogue.read(catalogue.yaml, file: "f")
            }
            try need(again == catalogue, "its YAML says something else: \(catalogue.yaml)")
        },

        Entry("Words", limit: 160) { (bytes) throws(Violation) in
            let text = String(decoding: bytes, as: UTF8.self)
            if let port = try polite({ () throws(UrsaError) in try PublishSpec(parsing: text) }) {
                try need((try? PublishSpec(parsing: "\(port)")) == port, "\(port) is another port")
                try need(port.hostPort > 0 && port.guestPort > 0, "port 0")
            }
            if let card = try polite({ () throws(UrsaError) in try NICSpec(parsing: text) }) {
                try need(NameRules.fault(card.network, what: "network", length: 1...32) == nil, "\(card) is misnamed")
            }
            if let policy = try polite({ () throws(UrsaError) in try RestartPolicy(parsing: text) }) {
                try need("\(policy)" == text, "\(policy) stands for \(text)")
            }
            if let time = try polite({ () throws(UrsaError) in try Seconds(parsing: text) }) {
                try need(
                    (try? Seconds(parsing: "\(time.count)s")) == time || time.count > 999_999_999, "\(time) is another")
                try need(time.count >= 0, "a negative time")
            }
            try same(text, ByteCount(text)) { ByteCount($0) }
            try same(text, MACAddress(text)) { MACAddress($0) }
            try same(text, IPAddress(text)) { IPAddress($0) }
            try same(text, IPv4Network(text)) { IPv4Network($0) }
            try same(text, IPv6Network(text)) { IPv6Network($0) }
            _ = ByteCount(text)?.rounded
            _ = seconds(ofTimestamp: text).map { timestamp($0) }
            _ = SSHKeyRule.fault(text)
            _ = NameRules.imageFault(text)
            let words = ["nat", "networks", "on-failure", "accelerator"]
            try need(nearMiss(text, among: words).map(words.contains) ?? true, "a near miss out of nowhere")
        },
    ]
}

/// What may be refused, with words that are fit for a terminal.
private func polite<Value>(_ body: () throws(UrsaError) -> Value) throws(Violation) -> Value? {
    try accepted { () throws(UrsaError) -> Value in
        do throws(UrsaError) { return try body() } catch {
            for part in error.flattened {
                let words = part.message + (part.place ?? "") + (part.remedy ?? "")
                guard words.unicodeScalars.contains(where: isHarmful) else { continue }
                throw UrsaError(.bug, "an error would play with the terminal: \(part)")
            }
            throw error
        }
    }
}

/// A value's text stands for the same value.
private func same<Value: Equatable & CustomStringConvertible>(
    _ text: String, _ value: Value?, _ read: (String) -> Value?
) throws(Violation) {
    guard let value else { return }
    try need(read(value.description) == value, "\(text) is \(value), which reads back as something else")
}
