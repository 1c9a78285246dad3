import UrsaBase

/// Whether the running kernel has a module.
enum ModuleState: String, Sendable, Hashable {
    /// Loaded now.
    case loaded
    /// Part of the kernel.
    case builtIn = "built in"
    /// On the disk; the kernel or modprobe loads it when it is needed.
    case available
    /// This kernel does not have it.
    case absent
    /// The kernel does not say: it has no loadable modules, or its list of built-in ones is not on the disk.
    case unknown

    /// Whether it can be used, as far as can be told.
    var isUsable: Bool { self != .absent }
}

extension HostFacts {
    /// Folder of the running kernel's modules.
    var modulesFolder: String { "/lib/modules/" + kernelRelease }

    /// State of a module by its name with underscores.
    func module(_ name: String) -> ModuleState {
        if lines("/proc/modules").contains(where: { $0.hasPrefix(name + " ") }) { return .loaded }
        // /sys/module also lists built-in modules, but only those with parameters.
        if exists("/sys/module/" + name) { return .builtIn }
        // Drivers of a character device show it in /proc/misc, as `200 tun` or `238 vhost-net`.
        let device = String(name.map { $0 == "_" ? "-" : $0 })
        if lines("/proc/misc").contains(where: { $0.hasSuffix(" " + device) }) { return .builtIn }
        guard let dependencies = peek(modulesFolder + "/modules.dep") else { return .unknown }
        let builtIn = peek(modulesFolder + "/modules.builtin") ?? ""
        if HostFacts.list(builtIn, names: name) { return .builtIn }
        return HostFacts.list(dependencies, names: name) ? .available : .absent
    }

    /// Whether a list of module paths (modules.builtin, or the part before the colon in modules.dep) has the module.
    /// File names use hyphens and underscores as they like.
    private static func list(_ text: String, names name: String) -> Bool {
        text.split(whereSeparator: \.isNewline).contains { line in
            let file = Path.name(String(line.prefix { $0 != ":" }))
            let stem = file.prefix { $0 != "." }
            return stem.count == name.count && String(stem.map { $0 == "-" ? "_" : $0 }) == name
        }
    }
}
