import UrsaBase

/// The namespace with its settings and a bare bridge, by whose mark it is known as ours.
struct EnsureNamespace: NetStep {
    let home: HomeMark
    let wish: NetworkWish
    /// Whether the name is bound; then only the settings are mended.
    let exists: Bool
    /// A dnsmasq that still lives in a namespace that lost its name: the namespace is found again through it.
    let survivor: ProcessIdentity?
    let phase = Phase.make
    var network: String? { wish.name }
    private var namespace: NetworkNamespace { home.namespace(wish.name) }

    var line: String {
        if exists { return "~ settings in namespace \(namespace.name)" }
        return survivor == nil
            ? "+ namespace \(namespace.name)"
            : "~ namespace \(namespace.name): its dnsmasq lives in it, its name is gone"
    }

    func apply() throws(UrsaError) {
        // Noted before it is made: a kill from here on leaves a trace.
        try File.makeDirectory(home.folder(network: wish.name))
        if !namespace.exists {
            try NetworkNamespace.prepareFolder()
            if let survivor, survivor.isAlive { try namespace.adopt(process: survivor.pid) }
        }
        let (home, wish) = (home, wish)
        if namespace.exists {
            try namespace.run { () throws(UrsaError) in
                for setting in NamespaceSettings.of(wish) { try setting.apply() }
            }
        } else {
            try namespace.create { () throws(UrsaError) in
                for setting in NamespaceSettings.of(wish) { try setting.apply() }
                try EnsureBridge.makeLink(home, wish, NetlinkSocket())
            }
        }
    }

    func undo() throws(UrsaError) {
        guard !exists, survivor == nil else { return }
        try namespace.remove()
        try File.removeTree(home.folder(network: wish.name))
    }
}
