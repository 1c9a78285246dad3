import UrsaBase

/// Which settings of the host the wished networks need, and which noted changes nothing needs any more.
extension NetworkPlan {
    /// Whether the host must forward packets.
    private var needsForwarding: Bool { wishes.contains(where: \.hasWayOut) }

    var settingSteps: [any NetStep] {
        var changes = needsForwarding ? seen.settings : []
        for setting in lanSettings {
            let link = seen.lans.interfaces.values.first { $0.settings[setting.name] != nil }
            guard let old = link?.settings[setting.name], old != setting.value else { continue }
            changes.append(SettingChange(name: setting.name, old: old, new: setting.value))
        }
        return changes.isEmpty ? [] : [ChangeSettings(home: home, changes: changes)]
    }

    /// What goes back to how it was. Settings of kinds not known here belong to other parts of the plan.
    var settingReturnSteps: [any NetStep] {
        guard !seen.hasOtherHomes else { return [] }
        let kept = Set(lanSettings.map(\.name))
        let stale = seen.journal.filter { change in
            if LANSettings.contains(change.name) { return !kept.contains(change.name) }
            return HostSettings.isForwarding(change.name) && !needsForwarding
        }
        return stale.isEmpty ? [] : [PutSettingsBack(home: home, changes: stale)]
    }
}
