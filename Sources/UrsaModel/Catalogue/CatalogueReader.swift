public import UrsaBase

extension Catalogue {
    /// Most images of a catalogue.
    static let entryLimit = 4096

    /// Reads a catalogue file:
    ///
    ///     images:
    ///       tiny: { builder: tiny, description: "…" }
    ///       mine: { url: "https://…/mine.qcow2", sha256: …, format: qcow2, ready-port: 22, user: admin }
    ///
    /// - Throws: `.invalidSpec` with every error found, each with `file:line:column`.
    public static func read(_ text: String, file: String) throws(UrsaError) -> Catalogue {
        var errors = ErrorList(file: file)
        guard let tree = YAMLDocument.read(text, into: &errors, example: example) else {
            throw errors.combined ?? UrsaError(.invalidSpec, "the file can't be read", place: file)
        }
        var context = ReadContext(errors: errors)
        var catalogue = Catalogue()
        if case .map(let pairs, let place) = tree {
            context.read(pairs, at: place, [images], of: "the catalogue", into: &catalogue)
        } else {
            let remedy = "a smallest file is: \(example)"
            context.errors.add(
                tree.place, tree.isNull ? "the file is empty" : "the file is \(tree.kind), not a map", remedy: remedy)
        }
        if let error = context.errors.combined { throw error }
        return catalogue
    }

    private static let example = "images: { tiny: { builder: tiny } }"

    private static let images = Field<Catalogue>(
        key: "images", about: "Images by name.", schema: ["type": "object"], otherWords: ["image", "entries"],
        isRequired: true,
        read: { tree, context, catalogue in
            guard let pairs = context.map(tree, "`images`", example: example) else { return }
            if pairs.count > entryLimit {
                context.fault(
                    tree.place, "\(pairs.count) images are too many", remedy: "at most \(entryLimit) are allowed")
                return
            }
            for pair in pairs where !pair.isRepeated {
                if let entry = EntryFields.read(pair, &context) { catalogue.entries.append(entry) }
            }
        },
        write: { $0.json["images"] })
}

/// An entry while it is read: its source is spread over several keys.
struct EntryDraft: Sendable {
    var entry: CatalogueEntry
    var builder: String?
    var url: String?
    var sha256: String?
}

/// The keys of a catalogue's entry.
enum EntryFields {
    static let all: [Field<EntryDraft>] = [
        Field(
            key: "builder", about: "Name of the builder that makes the image on this host.",
            schema: ["type": "string", "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$"], otherWords: ["build", "from"],
            read: { tree, context, draft in
                guard let text = context.text(tree, "builder", example: "debian") else { return }
                draft.builder = text
                guard let fault = NameRules.fault(text, what: "builder", length: 1...64) else { return }
                context.fault(tree.place, fault.message, remedy: fault.remedy)
            },
            write: { $0.builder.map { .string($0) } }),
        Field(
            key: "url", about: "Where the image is fetched, by https or http.",
            schema: ["type": "string", "pattern": "^https?://"], otherWords: ["uri", "location", "source", "link"],
            read: { tree, context, draft in
                guard let text = context.text(tree, "url", example: "https://…/image.qcow2") else { return }
                draft.url = text
                guard let fault = urlFault(text) else { return }
                context.fault(tree.place, fault.message, remedy: fault.remedy)
            },
            write: { $0.url.map { .string($0) } }),
        Field(
            key: "sha256", about: "SHA-256 of the file at the URL, 64 hexadecimal digits; http needs it.",
            schema: ["type": "string", "pattern": "^[0-9A-Fa-f]{64}$"],
            otherWords: ["checksum", "sha", "digest", "hash"],
            read: { tree, context, draft in
                // A checksum may look like a number to YAML; only its text counts.
                guard let text = context.word(tree, "sha256", example: "9f86d0…") else { return }
                draft.sha256 = text.lowercased()
                let isHex = text.utf8.allSatisfy {
                    (48...57).contains($0) || (65...70).contains($0) || (97...102).contains($0)
                }
                guard !isHex || text.utf8.count != 64 else { return }
                context.fault(
                    tree.place, "\(shown(text)) is no SHA-256",
                    remedy: "it has 64 hexadecimal digits" + (isHex ? ", this has \(text.utf8.count)" : ""))
            },
            write: { $0.sha256.map { .string($0) } }),
        Field(
            key: "format", about: "Format of the image file.",
            schema: MachineFields.choiceSchema(CatalogueEntry.Format.qcow2), otherWords: ["type"],
            read: { tree, context, draft in
                if let format: CatalogueEntry.Format = context.choice(tree, "format") { draft.entry.format = format }
            },
            write: { $0.entry.format.map { .string($0.rawValue) } }),
        Field(
            key: "ready-port", about: "TCP port that accepts connections once a machine of this image is reachable.",
            schema: ["type": "integer", "minimum": 1, "maximum": 65535], otherWords: ["port"],
            read: { tree, context, draft in
                guard let number = context.integer(tree, "ready-port", example: 22) else { return }
                guard let port = UInt16(exactly: number), port > 0 else {
                    context.fault(tree.place, "there is no port \(number)", remedy: "ports are 1 to 65535")
                    return
                }
                draft.entry.readyPort = port
            },
            write: { $0.entry.readyPort.map { .integer(Int64($0)) } }),
        Field(
            key: "user", about: "User to log in as by ssh.",
            schema: ["type": "string", "pattern": "^[a-z_][a-z0-9_-]{0,31}$"], otherWords: ["login", "username"],
            read: { tree, context, draft in
                guard let text = context.text(tree, "user", example: "root") else { return }
                draft.entry.user = text
                // useradd(8), CAVEATS: the portable form of user names, and their length.
                let first = text.utf8.first ?? 0
                let isFine =
                    text.utf8.count <= 32 && ((97...122).contains(first) || first == 95)
                    && text.utf8.allSatisfy {
                        (97...122).contains($0) || (48...57).contains($0) || $0 == 95 || $0 == 45
                    }
                guard !isFine else { return }
                context.fault(
                    tree.place, "\(shown(text)) can't be a user",
                    remedy: "lower-case letters, digits, - and _, at most 32")
            },
            write: { $0.entry.user.map { .string($0) } }),
        Field(
            key: "description", about: "What the image is, in one line.",
            schema: ["type": "string", "maxLength": 500], otherWords: ["about", "summary", "comment"],
            read: { tree, context, draft in
                guard let text = context.text(tree, "description", example: "what it is") else { return }
                draft.entry.description = text.trimmed
                if text.utf8.count > 500 || text.trimmed.contains("\n") {
                    context.fault(tree.place, "the description is too long", remedy: "one line of at most 500 bytes")
                }
            },
            write: { $0.entry.description.isEmpty ? nil : .string($0.entry.description) }),
    ]

    /// Reads one name with its entry; nil when there is no telling where the image comes from.
    static func read(_ pair: YAMLPair, _ context: inout ReadContext) -> CatalogueEntry? {
        let name = pair.key.text
        if !NameRules.isImageName(name) || name.utf8.count > Limits.imageNameLength {
            context.fault(
                pair.key.place, "\(shown(name)) can't be an image name",
                remedy: "lower-case letters, digits, `.`, `_` and `-`, and a version after a colon: debian:12")
        }
        guard let pairs = context.map(pair.value, "an image", example: "tiny: { builder: tiny }") else { return nil }
        var draft = EntryDraft(entry: CatalogueEntry(name: name, source: .builder("")))
        context.read(pairs, at: pair.key.place, all, of: "an image", into: &draft)
        func fault(_ message: String, _ remedy: String) -> CatalogueEntry? {
            context.fault(pair.key.place, "the image \(shown(name)) \(message)", remedy: remedy)
            return nil
        }
        switch (draft.builder, draft.url) {
        case (nil, nil): return fault("comes from nowhere", "give it a `builder` or a `url`")
        case (_?, _?): return fault("has both a builder and a URL", "keep one of them")
        case (let builder?, nil):
            if draft.sha256 != nil { return fault("is built, so it has no checksum", "remove `sha256`") }
            draft.entry.source = .builder(builder)
        case (nil, let url?):
            if draft.sha256 == nil, !url.hasPrefix("https://") {
                return fault("comes over http, which anybody on the way can change", "add its `sha256`, or use https")
            }
            draft.entry.source = .url(url, sha256: draft.sha256)
        }
        return draft.entry
    }

    /// The members of an entry's JSON, name left out.
    static func write(_ entry: CatalogueEntry) -> [JSON.Member] {
        var draft = EntryDraft(entry: entry)
        switch entry.source {
        case .builder(let name): draft.builder = name
        case .url(let url, let sha256):
            draft.url = url
            draft.sha256 = sha256
        }
        return all.write(draft)
    }

    /// What is wrong with a URL, nil when nothing is: scheme, host, no user, no blanks (RFC 3986).
    private static func urlFault(_ text: String) -> (message: String, remedy: String)? {
        let remedy = "for example https://images.example/debian.qcow2"
        guard text.utf8.count <= 2048, text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }), !text.contains("\\") else {
            return ("\(shown(text)) is no URL", "write it in ASCII, without blanks, as a browser copies it")
        }
        let prefixes = ["https://", "http://"]
        guard let prefix = prefixes.first(where: text.hasPrefix) else {
            return ("\(shown(text)) is no URL of https or http", remedy)
        }
        let authority = text.dropFirst(prefix.count).prefix { !"/?#".contains($0) }
        if authority.contains("@") {
            return ("the URL holds a user or a password", "fetch the file yourself, and name it by its path")
        }
        let host = authority.first == "[" ? authority.prefix { $0 != "]" } : authority.prefix { $0 != ":" }
        return host.isEmpty || host == "[" ? ("\(shown(text)) names no host", remedy) : nil
    }
}
