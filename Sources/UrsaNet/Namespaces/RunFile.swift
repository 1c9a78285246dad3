import Glibc
import UrsaBase

/// Files of the run folder. A reboot makes them void, so they are replaced at once but never forced to the disk: where
/// /run is no tmpfs, waiting for the disk would cost more than all the rest of a network.
enum RunFile {
    /// Replaces a file by a rename. `beside` is where the new content is written first, when the folder itself is
    /// watched by somebody who must not see an unfinished file.
    static func replace(_ path: String, text: String, beside: String? = nil) throws(UrsaError) {
        let temporary = beside ?? path + ".new"
        let fd = try File.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
        try retrying("set the mode of \(path)") { fchmod(fd.raw, 0o644) }
        try fd.writeAll(Array(text.utf8), to: path)
        try retrying("put \(path) in place") { rename(temporary, path) }
    }
}
