import Glibc
import UrsaBase

/// Room for the state and the images, and whether it can be written to.
struct DiskSpaceCheck: Check {
    let topic = "disk"

    func examine(_ host: HostFacts) -> [Finding] {
        var findings: [Finding] = []
        var seen: Set<UInt64> = []
        for (folder, purpose) in [(host.home, "state"), (host.home + "/images", "images")] {
            let existing = DiskSpaceCheck.existing(folder)
            guard let space = host.space(existing) else {
                findings.append(problem("the \(purpose) folder \(folder) can't be looked at"))
                continue
            }
            // Both folders are on one file system most of the time: it is told once.
            guard seen.insert(space.device).inserted else { continue }
            findings += judge(space, folder, existing, host)
        }
        return findings
    }

    private func judge(_ space: HostFacts.Space, _ folder: String, _ existing: String, _ host: HostFacts) -> [Finding] {
        let free = "\(ByteCount(space.bytes).rounded) free in \(folder)"
        let show = folder == existing ? "ursa image ls" : nil
        let hint = folder == existing ? "remove images that are not used" : "name a roomier folder by URSA_HOME"
        var findings: [Finding] = []
        if access(existing, W_OK) != 0 {
            let reason = Errno.current
            let remedy = reason.code == EROFS ? nil : host.command("chown", "-R", host.account.name, existing)
            findings.append(
                problem("\(existing) can't be written to: \(reason)", remedy: folder == existing ? remedy : nil))
        }
        if space.bytes < 200 << 20 {
            findings.append(problem("only \(free): \(hint)", remedy: show))
        } else if space.bytes < 2 << 30 {
            findings.append(warning("only \(free), and an image needs about 1 GiB: \(hint)", remedy: show))
        } else {
            findings.append(ok(free))
        }
        if let files = space.files, files < 1000 {
            findings.append(
                files < 100
                    ? problem("no room for more files (inodes) in \(folder)")
                    : warning("only \(files) inodes free in \(folder)"))
        }
        return findings
    }

    /// The folder, or its nearest parent that exists.
    static func existing(_ folder: String) -> String {
        var path = Path.absolute(folder)
        while !File.exists(path), path != "/" { path = Path.parent(path) }
        return path
    }
}
