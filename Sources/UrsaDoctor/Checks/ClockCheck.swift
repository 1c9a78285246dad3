/// The kernel's clock source; machines read their time through it.
struct ClockCheck: Check {
    let topic = "clock"
    private let folder = "/sys/devices/system/clocksource/clocksource0"

    func examine(_ host: HostFacts) -> [Finding] {
        guard let current = host.peek(folder + "/current_clocksource") else {
            return [note("the clock source is unknown")]
        }
        guard ["hpet", "acpi_pm", "jiffies", "refined-jiffies"].contains(current) else { return [ok(current)] }
        let offered = host.peek(folder + "/available_clocksource")?.split(separator: " ") ?? []
        let remedy =
            offered.contains("tsc") ? host.command("sh", "-c", "echo tsc > \(folder)/current_clocksource") : nil
        return [
            warning("the clock source \(current) is slow, and KVM's own clock can't be used with it", remedy: remedy)
        ]
    }
}
