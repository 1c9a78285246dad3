import UrsaBase
import UrsaModel

extension NetworkRecord {
    /// What was made of the spec: a bridge that fell back to `lan` has the LAN's subnet.
    var model: NetworkSpec.Model {
        spec.model == .bridged && spec.fallback == .lan && subnet != nil ? .lan : spec.model
    }

    /// Whether its machines have taps: everything but user networking.
    var hasTaps: Bool { model != .user }

    /// Whether the host can speak to its machines by IP.
    var isReachable: Bool { [.nat, .routed, .lan].contains(model) }
}
