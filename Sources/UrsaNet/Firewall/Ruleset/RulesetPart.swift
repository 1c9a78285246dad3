/// What one concern (published ports, zones, uplinks …) brings to the host's table: sets, and rules in chains.
///
/// Parts that name the same chain share it; its rules stand in the order of the parts in `Ruleset.parts`.
struct RulesetPart: Sendable, Hashable {
    var sets: [NamedSet] = []
    var chains: [Chain] = []
}
