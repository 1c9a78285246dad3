import Glibc
import UrsaBase

/// Makes an image of a disk file that is fetched from an address.
struct PullBuilder {
    let workshop: ImageStore.Workshop
    let url: String
    let sha256: String?

    /// Fetches, checks and describes the image; its file is in the workshop's folder.
    func build() throws(UrsaError) -> Image {
        let download = try Download(store: workshop.store, url: url, sha256: sha256, progress: workshop.progress)
        // Without a suffix a qcow2 image is still known by its content; a raw one must say so.
        let isRaw = [".img", ".raw"].contains { Download.shortName(url).lowercased().hasSuffix($0) }
        let fetched = workshop.folder + (isRaw ? "/disk.img" : "/disk.qcow2")
        let digest = try download.fetch(to: fetched)
        let disk: DiskFile
        do { disk = try DiskProbe.probe(fetched) } catch {
            throw UrsaError(error.code, error.message, place: url, remedy: error.remedy)
        }
        return Image(
            name: Download.shortName(url), boot: .disk, disk: disk, readyPort: 22, seed: .noCloud,
            origin: "\(url) sha256:\(digest)")
    }
}
