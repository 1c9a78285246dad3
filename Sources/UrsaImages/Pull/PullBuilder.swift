import Glibc
import UrsaBase

/// Makes an image of a disk file that is fetched from an address.
struct PullBuilder {
    let workshop: ImageStore.Workshop
    let url: String
    let sha256: String?
    /// What the catalogue says that the file is, if it does.
    let format: DiskFile.Format?

    /// Fetches, checks and describes the image; its file is in the workshop's folder.
    func build() throws(UrsaError) -> Image {
        let download = try Download(store: workshop.store, url: url, sha256: sha256, progress: workshop.progress)
        // Without a suffix a qcow2 image is still known by its content; a raw one must say so.
        let isRaw =
            if let format { format == .raw } else {
                [".img", ".raw"].contains { Download.shortName(url).lowercased().hasSuffix($0) }
            }
        let fetched = workshop.folder + (isRaw ? "/disk.img" : "/disk.qcow2")
        let digest = try download.fetch(to: fetched)
        let disk: DiskFile
        do { disk = try DiskProbe.probe(fetched) } catch {
            throw UrsaError(error.code, error.message, place: url, remedy: error.remedy)
        }
        if let format, format != disk.format {
            throw UrsaError(
                .invalidSpec, "the file is \(disk.format), not \(format) as the catalogue says", place: url,
                remedy: "mend the image's `format`")
        }
        return Image(
            name: Download.shortName(url), boot: .disk, disk: disk, readyPort: 22, seed: .noCloud,
            origin: "\(url) sha256:\(digest)")
    }
}
