import Glibc
import UrsaBase

/// The `tiny` image, and others that a test asks for, built once for a whole test run and lent to each test's own home.
public enum SharedImages {
    /// The folder is named after what builds the image, so that a change of the builder builds it anew.
    private static let folder = root + "/.build/test-home-" + digest
    private static let root = Path.parent(Path.parent(Path.parent(#filePath)))
    private static let digest: String = {
        let folders = ["Tiny", "Debian"].map { root + "/Sources/UrsaImages/" + $0 }
        let files = folders.flatMap { folder in File.list(folder).sorted().map { folder + "/" + $0 } }
        let bytes = files.flatMap { (try? File.read($0)) ?? [] }
        return String(hexadecimal(SHA256.digest(bytes)).prefix(12))
    }()

    private static let built = Locked<Result<Void, UrsaError>?>(nil)

    /// The folder of the shared image store; what is missing is built first.
    public static func path() throws -> String {
        try built.withLock { state in
            if state == nil {
                do throws(UrsaError) {
                    // Several test processes may want it at once.
                    try File.makeDirectory(folder, mode: 0o755)
                    try FileLock.holding(folder + ".lock") { () throws(UrsaError) in try build() }
                    state = .success(())
                } catch { state = .failure(error) }
            }
            try state?.get()
        }
        return folder + "/images"
    }

    /// The folder of the shared image store with another image in it, which is built when it is missing: in minutes.
    public static func path(with image: String) throws -> String {
        let images = try path()
        try FileLock.holding(folder + ".lock") { () throws(UrsaError) in try build(image, seconds: 1800) }
        return images
    }

    /// Lets a home use the shared images.
    public static func lend(to home: String) throws {
        let images = try path()
        try File.makeDirectory(home, mode: 0o711)
        guard symlink(images, home + "/images") == 0 else { throw UrsaError.system(.current, "lend the images") }
    }

    private static func build(_ image: String = "tiny", seconds: Double = 600) throws(UrsaError) {
        let environment = [
            "URSA_HOME=\(folder)", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=\(folder)",
        ]
        let known = try Program(Products.ursa, ["image", "ls", "--json"], environment: environment).require(
            "list images")
        if known.contains("\"\(image)\"") { return }
        try Program(Products.ursa, ["image", "build", image], environment: environment)
            .require("build the image \(image)", seconds: seconds)
    }
}
