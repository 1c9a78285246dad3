import Glibc
import TestSupport

extension Seeded {
    /// The number that the environment gives, or a default, `slow` where slow tests are wanted: `URSA_SEED=7 swift test …` repeats one run.
    static func environment(_ name: String, _ usual: Int, slow: Int? = nil) -> Int {
        let usual = getenv("URSA_SLOW") == nil ? usual : slow ?? usual
        return getenv(name).flatMap { Int(String(cString: $0)) } ?? usual
    }
}
