public import UrsaBase

/// The images a person can name, and where each comes from.
public struct Catalogue: Sendable, Hashable {
    /// The entries by order of the file; names are unique.
    public var entries: [CatalogueEntry]

    /// A catalogue of entries.
    public init(entries: [CatalogueEntry] = []) { self.entries = entries }

    /// The entry of a name, nil when there is none.
    public subscript(name: String) -> CatalogueEntry? { entries.first { $0.name == name } }

    /// This catalogue with the entries of another: those of the same name are replaced, new ones follow.
    public func merging(_ other: Catalogue) -> Catalogue {
        var merged = entries.map { other[$0.name] ?? $0 }
        merged += other.entries.filter { self[$0.name] == nil }
        return Catalogue(entries: merged)
    }

    /// The images that Ursa builds by itself, from Debian packages; no addresses of any server.
    public static var builtIn: Catalogue {
        Catalogue(entries: [
            CatalogueEntry(
                name: "tiny", source: .builder("tiny"), readyPort: 80,
                description:
                    "Debian's cloud kernel and busybox: boots in seconds, a shell on the console, HTTP on port 80"),
            CatalogueEntry(
                name: "debian:12", source: .builder("debian-12"), readyPort: 22, user: "root",
                description: "Debian 12 (bookworm), built from signed packages, with sshd"),
        ])
    }

    /// The catalogue as the text of a catalogue file that reads back to the same.
    public var yaml: String { YAMLWriter.text(json) }

    /// The catalogue as JSON, in the form of its file.
    public var json: JSON {
        .object([
            JSON.Member("images", .object(entries.map { JSON.Member($0.name, .object(EntryFields.write($0))) }))
        ])
    }
}

/// One image that a person can name.
public struct CatalogueEntry: Sendable, Hashable {
    /// Where an image comes from.
    public enum Source: Sendable, Hashable {
        /// It is built on this host by the builder of that name.
        case builder(String)
        /// It is fetched; the checksum is 64 lower-case hexadecimal digits, and always there for http.
        case url(String, sha256: String?)
    }

    /// Format of an image file.
    public enum Format: String, Sendable, Hashable, CaseIterable {
        /// QEMU's copy-on-write format.
        case qcow2
        /// The disk, byte by byte.
        case raw
    }

    /// Name: `debian:12`.
    public var name: String
    /// Where it comes from.
    public var source: Source
    /// Format of the file that the URL gives; nil when the file itself is to tell.
    public var format: Format?
    /// TCP port that accepts connections once a machine of this image is reachable; nil when there is none.
    public var readyPort: UInt16?
    /// User to log in as by ssh; nil when the image has no ssh server.
    public var user: String?
    /// What it is, in one line.
    public var description: String

    /// An entry.
    public init(
        name: String, source: Source, format: Format? = nil, readyPort: UInt16? = nil, user: String? = nil,
        description: String = ""
    ) {
        self.name = name
        self.source = source
        self.format = format
        self.readyPort = readyPort
        self.user = user
        self.description = description
    }
}
