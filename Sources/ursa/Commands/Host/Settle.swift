import ArgumentParser
import UrsaBase
import UrsaControl

/// `ursa settle`, called by keepers when a machine has ended.
struct Settle: Verb {
    static let configuration = CommandConfiguration(
        commandName: "settle",
        abstract: "Bring the host in line with what runs.",
        discussion: """
            Takes away what ended machines have left and puts back what was damaged. Keepers call it; it never hurts.

            Example:
              ursa settle
            """,
        shouldDisplay: false)

    func perform() throws(UrsaError) { try openUrsa().settle() }
}
