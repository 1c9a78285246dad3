import CLinux
import Glibc
import UrsaBase
import UrsaNet

/// The files that are different inside the private host.
enum PrivateFiles {
    /// Gives the calling process's mount namespace a /run of its own, in which network namespaces can be named, with
    /// everything of the real one still there; and a resolver file whose name server is reachable from inside.
    static func mount(folder: String) throws(UrsaError) {
        // Below the person's own folder, since what is to stay reachable must not lie below what is replaced.
        let real = folder + "/host-run"
        try File.makeDirectory(real, mode: 0o700)
        try check(clinux_bind_mount_tree("/run", real), "keep the real /run at \(real)")
        try check(clinux_mount_tmpfs("/run", "mode=755"), "mount a /run of its own")
        for name in File.list(real) where name != "netns" && name != "ursa" {
            let target = real + "/" + name
            try retrying("keep /run/\(name)") { symlink(target, "/run/" + name) }
        }
        try File.makeDirectory("/run/netns")
        try File.makeDirectory("/run/ursa")

        let servers = "# The real host's own, as passt forwards it.\nnameserver \(UserStem.nameServer)\n"
        try File.replace(folder + "/resolv.conf", text: servers, mode: 0o644)
        // A dangling link or no file at all: then there is no name server to be hidden.
        _ = clinux_bind_mount(folder + "/resolv.conf", "/etc/resolv.conf")
    }
}
