import ArgumentParser
import UrsaBase
import UrsaControl
import UrsaModel

/// `ursa ps`
struct ListMachines: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ps",
        abstract: "List machines.",
        discussion: """
            Shows machines that run and those that failed; --all also the stopped ones.

            Examples:
              ursa ps
              ursa ps -a
              ursa stop $(ursa ps -q)
            """,
        aliases: ["ls"])

    @Flag(name: .shortAndLong, help: "Stopped machines too.")
    var all = false
    @Flag(name: .shortAndLong, help: "Print names only.")
    var quiet = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        let ursa = try openUrsa()
        let listing = try ursa.listing()
        let known = listing.machines
        let shown = all ? known : known.filter { $0.state != .stopped }
        if output.json {
            Screen.json(.array(shown.map(\.json)))
        } else if quiet {
            Screen.write(shown.map { printable($0.name) + "\n" }.joined())
        } else {
            ListMachines.table(shown).print()
            if Terminal.isOutput, shown.count < known.count {
                Screen.hint("\(known.count - shown.count) stopped; `ursa ps -a` shows all")
            } else if Terminal.isOutput, known.isEmpty {
                Screen.hint("no machines yet; `ursa run tiny` makes one")
            }
        }
        for trouble in listing.troubles { Screen.note(trouble) }
    }

    /// The table of these machines.
    static func table(_ machines: [MachineView]) -> Table {
        let now = wallClock()
        var table = Table("NAME", "STATE", "IMAGE", "ADDRESS", "PORTS", "UP")
        for machine in machines {
            table.add(
                machine.name, machine.state.rawValue, machine.spec.image, address(machine),
                machine.spec.publish.isEmpty ? "-" : machine.spec.publish.map(\.description).joined(separator: ","),
                up(machine, now: now))
        }
        return table
    }

    private static func address(_ machine: MachineView) -> String {
        for card in machine.cards {
            if let address = card.address { return address.description }
        }
        for card in machine.cards {
            if let address = card.address6 { return address.description }
        }
        return "-"
    }

    /// How long it has been up and how often it came back; why it is not up.
    private static func up(_ machine: MachineView, now: Double) -> String {
        guard let started = machine.started else { return machine.reason ?? "-" }
        let restarts = machine.restarts
        return span(now - started)
            + (restarts == 0 ? "" : restarts == 1 ? ", 1 restart" : ", \(restarts) restarts")
            + (machine.reason.map { ", " + $0 } ?? "")
    }
}
