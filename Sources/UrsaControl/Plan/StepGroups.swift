import UrsaBase
import UrsaNet

/// Steps on the host's networks, put together by network, so that a person reads them network by network although they
/// are done side by side.
struct StepGroups {
    private var networks: [(name: String, steps: [any Step])] = []
    private var host: [any Step] = []

    /// Groups in the order in which networks first appear; steps of the whole host come last.
    init(_ steps: [any Step]) {
        for step in steps {
            guard let name = HostNetworks.network(of: step) else {
                host.append(step)
                continue
            }
            if let index = networks.firstIndex(where: { $0.name == name }) {
                networks[index].steps.append(step)
            } else {
                networks.append((name, [step]))
            }
        }
    }

    /// The steps of one network, taken out.
    mutating func take(network name: String) -> [any Step] {
        guard let index = networks.firstIndex(where: { $0.name == name }) else { return [] }
        return networks.remove(at: index).steps
    }

    /// All groups: a heading, and the steps below it. A step that is alone is told without a heading.
    var lines: [PlanLine] {
        networks.flatMap { StepGroups.lines("network \($0.name)", $0.steps) } + StepGroups.lines("host", host)
    }

    private static func lines(_ heading: String, _ steps: [any Step]) -> [PlanLine] {
        var lines = steps.map(PlanLine.init(step:))
        guard lines.count > 1 else {
            return lines.map { PlanLine($0.sign, $0.text) }
        }
        let isNew = lines.allSatisfy { $0.sign == "+" }
        lines.insert(PlanLine(isNew && heading != "host" ? "+" : "~", heading), at: 0)
        return lines
    }
}
