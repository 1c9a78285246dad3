import Glibc
public import UrsaBase
import UrsaModel
import UrsaNet
import UrsaRootless

extension Home {
    /// Puts the calling program into the ordinary user's private host, where there is one or `making` one: it starts
    /// again in there, so this returns only when it stays outside. Only while the process has a single thread.
    ///
    /// - Returns: why there is no private host, when one was to be made; machines have user networking then.
    public func enterPrivateHost(making: Bool, arguments: [String]) throws(UrsaError) -> UrsaError? {
        let host = RootlessHost(folder: rootlessFolder)
        guard making else {
            guard host.holder != nil else { return nil }
            let use = try host.keep()
            // It may have ended meanwhile, with its last machine.
            if let holder = host.holder { try host.enter(holder, use: use, arguments: arguments) }
            return nil
        }
        if host.holder == nil, Path.program("passt") == nil {
            return UrsaError(.notFound, "passt is not installed", remedy: "install the package passt")
        }
        try prepare()
        let use = try host.keep()
        let holder: ProcessIdentity
        do throws(UrsaError) { holder = try host.start(program: Programs.rootless()) } catch { return error }
        try host.enter(holder, use: use, arguments: arguments)
    }
}

extension Ursa {
    /// Brings the private host's doors in line with what runs, and ends it when nothing needs it any more.
    func settleRootless(_ wish: HostWish, _ store: Store) throws(UrsaError) {
        let host = RootlessHost(folder: home.rootlessFolder)
        let (machines, claims) = try store.read { (try $0.machines(), try $0.liveClaims()) }
        let live = liveMachines(machines, claims: claims)
        if wish.isEmpty, live.isEmpty {
            try? host.end()
            return
        }
        let doors = machines.filter { live.contains($0.name) }.flatMap { machine in
            machine.spec.publish.map { Door(isUDP: $0.transport == .udp, address: $0.hostAddress, port: $0.hostPort) }
        }
        try host.setDoors(doors)
    }

    /// A card's port where taps can't be had: its frames are carried by the holder of the private host.
    func openFrames(
        _ name: String, _ network: String, isIsolated: Bool, _ host: HostNetworks
    ) throws(UrsaError) -> OwnedFD {
        let port = try host.openFramePort(network: network, name: name, isIsolated: isIsolated)
        try RootlessHost(folder: home.rootlessFolder).carry(port, name: name)
        return port.engine
    }
}
