import Glibc
public import UrsaBase

/// The images of this host, in one folder.
///
/// Each image has a folder of its own, named by its identifier, with its files and `image.json`. The folder is complete
/// or not there (see `StoreFolder`), its files never change, and any user may read them, since engines run unprivileged.
public struct ImageStore: Sendable {
    let store: StoreFolder
    let recipes: [ImageRecipe]

    /// The store in a folder, which is made when first needed.
    ///
    /// - Parameter recipes: the images that may be made or fetched by name.
    public init(folder: String, recipes: [ImageRecipe] = ImageRecipe.builtIn) {
        store = StoreFolder(folder)
        self.recipes = recipes
    }

    /// Every image in the store, by name, the newest of a name first. A folder that can't be read as an image is left
    /// out.
    public func list() throws(UrsaError) -> [Image] {
        File.list(imagesFolder).compactMap { try? load($0) }.sorted {
            $0.name == $1.name ? $0.made > $1.made : $0.name < $1.name
        }
    }

    /// The newest image of a name, nil when the store has none. A path is looked at as a person's own file.
    public func find(_ name: String) throws(UrsaError) -> Image? {
        if ImageName.isPath(name) { return try ImageStore.fileImage(name) }
        try ImageName.check(name)
        return try list().first { $0.name == name }
    }

    /// The image with this identifier, newest or not; nil when the store does not have it.
    public func find(identifier: String) throws(UrsaError) -> Image? {
        guard ImageStore.isIdentifier(identifier), File.exists(imagesFolder + "/" + identifier) else { return nil }
        return try load(identifier)
    }

    /// The image of a name, built or fetched first when the store does not have it.
    ///
    /// A path (`./disk.qcow2`, `/srv/disk.img`) names a disk file of the person's, used where it is as a read-only base.
    /// When another process is making the same image, this one waits and then uses what that one made.
    ///
    /// - Throws: `.notFound` when neither store nor catalogue knows the name, and whatever the builder reports.
    public func ensure(_ name: String, progress: @escaping ProgressHandler = { _ in }) throws(UrsaError) -> Image {
        if let found = try find(name) { return found }
        let recipe = try recipe(name)
        return try make(recipe, anew: false, progress: progress)
    }

    /// Makes an image again from its recipe, with what its sources have now. Machines made over the old one keep it.
    public func build(_ name: String, progress: @escaping ProgressHandler = { _ in }) throws(UrsaError) -> Image {
        try ImageName.check(name)
        return try make(try recipe(name), anew: true, progress: progress)
    }

    /// Fetches an image from an address (https, or http with a checksum) and gives it a name.
    ///
    /// - Parameter sha256: 64 hexadecimal digits that the file must have; nil only with https.
    public func pull(
        url: String, name: String, sha256: String? = nil, progress: @escaping ProgressHandler = { _ in }
    ) throws(UrsaError) -> Image {
        try ImageName.check(name)
        return try make(ImageRecipe(name: name, source: .url(url, sha256: sha256)), anew: true, progress: progress)
    }

    /// Removes every version of an image.
    ///
    /// - Parameters:
    ///   - users: names of the machines that use the image; when there are any, nothing is removed.
    ///   - identifiers: versions that must stay.
    public func remove(_ name: String, users: [String] = [], keeping identifiers: Set<String> = []) throws(UrsaError) {
        try ImageName.check(name)
        guard users.isEmpty else {
            throw UrsaError(
                .conflict, "the image \(name) is used by \(users.sorted().joined(separator: ", "))",
                remedy:
                    "remove \(users.count == 1 ? "the machine" : "the machines") first: ursa rm \(users.sorted().joined(separator: " "))"
            )
        }
        let versions = try list().filter { $0.name == name }
        guard !versions.isEmpty else { throw notFound(name, among: try list().map(\.name)) }
        for version in versions where !identifiers.contains(version.identifier) {
            try store.remove("images/" + version.identifier)
        }
    }

    /// Removes versions that a newer one of the same name has replaced, and what killed commands left.
    ///
    /// - Parameter identifiers: versions that machines still use.
    /// - Returns: what was removed.
    public func prune(keeping identifiers: Set<String>) throws(UrsaError) -> [Image] {
        try store.sweep()
        var seen: Set<String> = []
        var removed: [Image] = []
        for image in try list() where !seen.insert(image.name).inserted && !identifiers.contains(image.identifier) {
            try store.remove("images/" + image.identifier)
            removed.append(image)
        }
        return removed
    }
}

// MARK: - Making

extension ImageStore {
    /// What a builder works with.
    struct Workshop: Sendable {
        /// The store, for packages that images share.
        let store: StoreFolder
        /// Empty folder for the image's files.
        let folder: String
        /// Where to report.
        let progress: ProgressHandler
    }

    private var imagesFolder: String { store.path + "/images" }

    private static func isIdentifier(_ text: String) -> Bool {
        text.utf8.count == 16 && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }

    private func load(_ identifier: String) throws(UrsaError) -> Image {
        guard ImageStore.isIdentifier(identifier) else { throw UrsaError(.io, "no image", place: identifier) }
        let folder = imagesFolder + "/" + identifier
        let image = try Image(json: try JSON.parse(try File.read(folder + "/image.json", limit: 1 << 20)))
        guard image.identifier == identifier else {
            throw UrsaError(.io, "an image under another's name", place: folder)
        }
        return try image.mappingPaths { (name) throws(UrsaError) in
            guard !name.contains("/"), name != "..", name != "." else {
                throw UrsaError(.io, "an image's file outside of its folder", place: folder)
            }
            return folder + "/" + name
        }
    }

    private func recipe(_ name: String) throws(UrsaError) -> ImageRecipe {
        if let recipe = recipes.first(where: { $0.name == name }) { return recipe }
        throw notFound(name, among: Set(recipes.map(\.name) + (try list().map(\.name))).sorted())
    }

    private func notFound(_ name: String, among names: [String]) -> UrsaError {
        let remedy =
            if let near = nearMiss(name, among: names) { "did you mean \(near)?" } else if names.isEmpty {
                "`ursa image pull` fetches one"
            } else { "there are: \(names.joined(separator: ", "))" }
        return UrsaError(.notFound, "there is no image \(name)", remedy: remedy)
    }

    private func make(
        _ recipe: ImageRecipe, anew: Bool, progress: @escaping ProgressHandler
    ) throws(UrsaError) -> Image {
        try make(recipe.name, anew: anew, progress: progress) { (workshop) throws(UrsaError) in
            try produce(recipe, workshop)
        }
    }

    /// Makes an image of a name by `work`, which leaves its files in the workshop's folder.
    ///
    /// - Parameter anew: make it although the store has one of the name.
    func make(
        _ name: String, anew: Bool = true, progress: @escaping ProgressHandler = { _ in },
        _ work: (Workshop) throws(UrsaError) -> Image
    ) throws(UrsaError) -> Image {
        try File.makeDirectory(imagesFolder)
        // One maker for each name; the colon of a name becomes a sign that names can't have.
        let lockPath = store.path + "/.make-" + String(name.map { $0 == ":" ? "=" : $0 }) + ".lock"
        if let lock = try FileLock.attempt(lockPath) {
            return try make(name, holding: lock, again: anew, progress: progress, work)
        }
        progress(Progress("waiting for another command that makes \(name)"))
        // Whoever held the lock made what was asked for here.
        return try make(name, holding: try FileLock(lockPath), again: false, progress: progress, work)
    }

    private func make(
        _ name: String, holding lock: borrowing FileLock, again: Bool, progress: @escaping ProgressHandler,
        _ work: (Workshop) throws(UrsaError) -> Image
    ) throws(UrsaError) -> Image {
        if !again, let made = try find(name) { return made }
        let partial = try store.makePartial(space: .mebibytes(64))
        let result: Image
        do throws(UrsaError) {
            let folder = partial.path + "/image"
            try File.makeDirectory(folder)
            result = try finish(try work(Workshop(store: store, folder: folder, progress: progress)), in: folder)
        } catch {
            store.discard(partial)
            throw error
        }
        store.discard(partial)
        return result
    }

    private func produce(_ recipe: ImageRecipe, _ workshop: Workshop) throws(UrsaError) -> Image {
        var image: Image
        switch recipe.source {
        case .builder("tiny"): image = try TinyBuilder(workshop).build()
        case .builder("debian-12"): image = try DebianBuilder(workshop, release: "bookworm").build()
        case .builder(let other):
            throw UrsaError(
                .invalidSpec, "there is no image builder \"\(other)\"", place: "image \(recipe.name)",
                remedy: "the builders are tiny and debian-12")
        case .url(let url, let sha256):
            image = try PullBuilder(workshop: workshop, url: url, sha256: sha256, format: recipe.format).build()
        }
        image.name = recipe.name
        image.readyPort = recipe.readyPort ?? image.readyPort
        image.user = recipe.user ?? image.user
        return image
    }

    /// Gives a finished image its identifier and metadata and puts it in place.
    private func finish(_ draft: Image, in folder: String) throws(UrsaError) -> Image {
        var image = try draft.mappingPaths { (path) throws(UrsaError) in Path.name(path) }
        for file in draft.files { try check(chmod(file, 0o644) == 0 ? 0 : -errno, "open \(file) to readers") }
        let digests = try digest(of: draft.files)
        image.made = wallClock()
        image.size = ByteCount(draft.files.reduce(0) { $0 + UInt64(max(0, File.status($1)?.st_blocks ?? 0)) * 512 })
        // Time and size say nothing about what the image is.
        var identity = image
        identity.made = 0
        identity.size = ByteCount(0)
        identity.identifier = "-"
        image.identifier = String(hexadecimal(SHA256.digest(identity.json.text + "\n" + digests)).prefix(16))
        try File.replace(folder + "/image.json", text: image.json.pretty + "\n", mode: 0o644)
        if try !store.publish(folder, as: "images/" + image.identifier) {
            // The same content is there already: it only becomes the newest of its name again.
            let place = imagesFolder + "/" + image.identifier + "/image.json"
            try File.replace(place, text: image.json.pretty + "\n", mode: 0o644)
        }
        return try load(image.identifier)
    }

    private func digest(of files: [String]) throws(UrsaError) -> String {
        try files.map { (file) throws(UrsaError) in try FileDigest.sha256(file) }.joined(separator: "\n")
    }
}
