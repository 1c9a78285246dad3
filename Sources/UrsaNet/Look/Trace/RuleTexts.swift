import UrsaBase

/// The rules of one namespace by their handles, as `nft -a list ruleset` prints them, so that a trace can quote them.
struct RuleTexts: Sendable, Hashable {
    private var texts: [String: String] = [:]

    init(_ listing: String) {
        var table = ""
        var chain = ""
        for line in listing.split(separator: "\n") {
            let words = line.trimmed
            // `table inet ursa { # handle 3`, `chain forward_in { # handle 7`, `RULE # handle 12`
            guard let mark = words.range(ofLast: " # handle ") else { continue }
            let text = words[..<mark.lowerBound]
            let handle = words[mark.upperBound...]
            if text.hasSuffix(" {") {
                let parts = text.split(separator: " ")
                if parts.first == "table", parts.count >= 3 { table = "\(parts[1]) \(parts[2])" }
                if parts.first == "chain", parts.count >= 2 { chain = String(parts[1]) }
            } else {
                texts["\(table) \(chain) \(handle)"] = String(text)
            }
        }
    }

    /// Lists the rules of the calling thread's namespace; elements of sets are left out.
    static func here() -> RuleTexts {
        let listing = try? Program("nft", ["-a", "-t", "list", "ruleset"]).run(seconds: 20)
        return RuleTexts(listing?.text ?? "")
    }

    func text(_ event: TraceEvent) -> String? { texts["\(event.family) \(event.table) \(event.chain) \(event.rule)"] }
}

extension String {
    fileprivate func range(ofLast word: String) -> Range<String.Index>? {
        var end = endIndex
        while end > startIndex {
            if self[..<end].hasSuffix(word) { return index(end, offsetBy: -word.count)..<end }
            end = index(before: end)
        }
        return nil
    }
}
