import Glibc
import UrsaBase

extension ImageStore {
    /// A disk file of the person's as an image. Nothing is copied; the file must not change while machines use it.
    static func fileImage(_ name: String) throws(UrsaError) -> Image {
        var path = name
        if name.hasPrefix("~/"), let home = getenv("HOME") { path = String(cString: home) + name.dropFirst(1) }
        guard let real = realpath(Path.absolute(path), nil) else {
            throw UrsaError.system(.current, "open the image file \(path)")
        }
        defer { free(real) }
        path = String(cString: real)
        let disk = try DiskProbe.probe(path)
        guard let status = File.status(path) else { throw UrsaError.system(.current, "look at \(path)") }
        let written = Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) / 1e9
        // Another file under the same path is another image: overlays made over the first would be wrong over it.
        let identity = "\(path)\n\(status.st_dev)\n\(status.st_ino)\n\(status.st_size)\n\(written)"
        return Image(
            name: path, identifier: String(hexadecimal(SHA256.digest(identity)).prefix(16)), boot: .disk, disk: disk,
            readyPort: nil, user: nil, readyMarker: nil, seed: .noCloud, made: written,
            size: ByteCount(UInt64(max(0, status.st_blocks)) * 512), origin: "a file of yours")
    }
}
