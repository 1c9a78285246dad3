/// Kernel samepage merging (Documentation/admin-guide/mm/ksm.rst).
struct MemoryMergingCheck: Check {
    let topic = "ksm"
    private let file = "/sys/kernel/mm/ksm/run"

    func examine(_ host: HostFacts) -> [Finding] {
        switch host.peek(file) {
        case nil: return [note("this kernel can't merge equal memory pages of machines")]
        case "1":
            let pages = host.peek("/sys/kernel/mm/ksm/pages_sharing") ?? "0"
            return [ok("merging equal memory pages (\(pages) shared)")]
        default:
            return [
                note(
                    "off: equal memory pages of machines are kept several times",
                    remedy: host.command("sh", "-c", "echo 1 > \(file)"))
            ]
        }
    }
}
