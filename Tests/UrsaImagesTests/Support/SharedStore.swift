import Glibc
import UrsaBase

/// One store for all tests of this run, so that packages are fetched and images built once. Deleted at exit.
enum SharedStore {
    static func folder() throws(UrsaError) -> String {
        try File.makeDirectory(path)
        return path
    }

    private static let path: String = {
        atexit { try? File.removeTree(SharedStore.path) }
        return "/var/tmp/ursa-images-test-shared-\(getpid())"
    }()
}
