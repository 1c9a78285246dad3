import ArgumentParser
import Glibc
import UrsaBase
import UrsaControl
import UrsaModel

/// `ursa run`
struct Run: Verb {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Make a machine from an image, start it and attach to its console.",
        discussion: """
            On a terminal the console is attached (Ctrl-] detaches, the machine runs on); elsewhere, and with -d, the \
            command ends when the machine runs and prints its name. Images of the catalogue are built or fetched when they are missing.

            Examples:
              ursa run tiny
              ursa run debian:12 --name web -p 8080:80 -d --wait
              ursa run tiny --rm --network none
            """)

    @Argument(
        help: ArgumentHelp("Image: a name such as tiny or debian:12, or a path.", valueName: "image"),
        completion: Completions.images)
    var image: String
    @Option(name: .long, help: ArgumentHelp("Name, also the host name; left out: from the image.", valueName: "name"))
    var name: String?
    @Option(
        name: [.customShort("p"), .long],
        help: ArgumentHelp(
            "Port of the host that leads into the machine; may be repeated.",
            valueName: "[address:]host:guest[/udp]"))
    var publish: [String] = []
    @Option(name: .long, help: ArgumentHelp("Virtual processors. (default: 1)", valueName: "count"))
    var cpus: String?
    @Option(name: .shortAndLong, help: ArgumentHelp("Memory, such as 512M or 2G. (default: 512M)", valueName: "size"))
    var memory: String?
    @Option(name: .long, help: ArgumentHelp("Size of the disk; left out: the image's.", valueName: "size"))
    var disk: String?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Network, with what is wanted on it (lab:10.77.0.20,rate=10M), or 'none'; may be repeated. (default: default)",
            valueName: "network"),
        completion: Completions.networks)
    var network: [String] = []
    @Option(
        name: .long,
        help: ArgumentHelp(
            "When it ends by itself: no, on-failure, on-failure:COUNT, always. (default: no)",
            valueName: "policy"),
        completion: .list(["no", "on-failure", "always"]))
    var restart: String?
    @Option(
        name: .long, help: ArgumentHelp("How it is run: auto, native, qemu. (default: auto)", valueName: "engine"),
        completion: .list(EngineChoice.allCases.map(\.rawValue)))
    var engine: String?
    @Option(
        name: .long,
        help: ArgumentHelp("How guest code is executed: auto, kvm, tcg. (default: auto)", valueName: "accelerator"),
        completion: .list(AcceleratorChoice.allCases.map(\.rawValue)))
    var accelerator: String?
    @Flag(name: .long, help: "Let programs of host and guest reach each other by vsock.")
    var vsock = false
    @Option(
        name: .long,
        help: ArgumentHelp("Time from the power button to the kill, 1 to 3600. (default: 30)", valueName: "seconds"))
    var stopTimeout: String?
    @Option(
        name: .long,
        help: ArgumentHelp("Text for the kernel command line, for images booted by their kernel.", valueName: "text"))
    var kernelArguments: String?
    @Option(
        name: .long,
        help: ArgumentHelp("File of public keys that may log in; may be repeated.", valueName: "file"),
        completion: .file(extensions: ["pub"]))
    var sshKey: [String] = []
    @Flag(name: .shortAndLong, help: "Leave it running in the background.")
    var detach = false
    @Flag(name: .long, help: "Wait until it can be reached; says which step stopped when it can't.")
    var wait = false
    @Option(name: .long, help: ArgumentHelp("How long --wait waits.", valueName: "seconds"))
    var timeout = TimeSpan(120)
    @Flag(name: .customLong("rm"), help: "Delete it, with its disk, when it has ended.")
    var remove = false
    @Flag(name: .long, help: "Make it only; `ursa start` starts it.")
    var noStart = false
    @OptionGroup var output: OutputOptions

    func perform() throws(UrsaError) {
        var spec = try checked(networks: try Run.knownNetworks())
        spec.image = ImagePath.absolute(image, from: ".")
        let ursa = try openUrsa()
        let view = try create(&spec, ursa)
        guard !noStart else { return done(view) }
        let attaches = remove || (!detach && !output.json && Terminal.isInput && Terminal.isOutput)
        let started = try start(view, ursa)
        guard attaches else {
            return done(started.first ?? view)
        }
        let end = try Attachment.run(
            ursa, name: view.name, mode: .readWrite, replay: true, key: .standard, seconds: nil)
        guard case .ended = end else {
            if remove { Screen.note("\(view.name) runs on, so --rm did not delete it; `ursa rm -f \(view.name)` does") }
            return
        }
        let outcome = try Attachment.outcome(ursa, name: view.name)
        if remove { try ursa.remove([view.name], force: false) }
        try Attach.tell(outcome)
    }

    /// Starts what was made. A machine whose engine was never started (its port is taken) is no use to anybody and would
    /// hold its name against the next try.
    private func start(_ view: MachineView, _ ursa: Ursa) throws(UrsaError) -> [MachineView] {
        do throws(UrsaError) {
            return try ursa.start([view.name], wait: wait, timeout: timeout.value, report: Reports.showAside)
        } catch {
            if let now = try? ursa.machine(view.name), now.state == .stopped, now.reason == nil {
                try? ursa.remove([view.name], force: false)
            }
            throw error
        }
    }

    /// The networks there are, with the subnets that were picked for them. A wrong option must not make a home.
    private static func knownNetworks() throws(UrsaError) -> [NetworkSpec] {
        guard File.isDirectory(try Home.fromEnvironment().folder) else { return [] }
        return try openUrsa().networks().map { view in
            var spec = view.spec
            spec.subnet = view.subnet
            spec.subnet6 = view.subnet6
            return spec
        }
    }

    private func done(_ view: MachineView) {
        if output.json { Screen.json(view.json) } else { Screen.line(view.name) }
    }

    /// Makes the machine; a generated name that another command took meanwhile is replaced by the next one.
    private func create(_ spec: inout MachineSpec, _ ursa: Ursa) throws(UrsaError) -> MachineView {
        guard name == nil else { return try ursa.create(spec) }
        var taken = try ursa.machines().map(\.name)
        for _ in 0..<20 {
            spec.name = GeneratedName.machine(image: image, taken: taken)
            do throws(UrsaError) {
                return try ursa.create(spec)
            } catch {
                let names = try ursa.machines().map(\.name)
                guard error.code == .conflict, names.contains(spec.name) else { throw error }
                taken = names
            }
        }
        throw UrsaError(.conflict, "no free name was found", place: "--name", remedy: "give a name")
    }

    /// The spec that the options describe.
    ///
    /// - Throws: everything that is wrong with them at once.
    func checked(networks: [NetworkSpec]) throws(UrsaError) -> MachineSpec {
        var errors = Collected()
        if detach, remove {
            errors.add("--rm waits for the end, --detach does not", "--rm", "leave one of the two out")
        }
        if noStart {
            for (given, option) in [(wait, "--wait"), (remove, "--rm"), (detach, "--detach")] where given {
                errors.add("a machine that is not started can't be used so", option, "leave it or --no-start out")
            }
        }
        var spec = MachineSpec(name: name ?? GeneratedName.machine(image: image, taken: []), image: image)
        if let cpus { errors.set(&spec.cpus, Int(cpus), cpus, "--cpus", "give a whole number such as 2") }
        if let memory { errors.set(&spec.memory, ByteCount(memory), memory, "--memory", "give a size such as 512M") }
        if let disk {
            // Read by itself: through the optional property, nil would count as a value.
            spec.disk = ByteCount(disk)
            if spec.disk == nil { errors.add("'\(disk)' is no value for it", "--disk", "give a size such as 8G") }
        }
        if let stopTimeout {
            errors.set(&spec.stopTimeout, Int(stopTimeout), stopTimeout, "--stop-timeout", "give whole seconds")
        }
        if let engine {
            errors.set(&spec.engine, EngineChoice(rawValue: engine), engine, "--engine", choices(EngineChoice.self))
        }
        if let accelerator {
            errors.set(
                &spec.accelerator, AcceleratorChoice(rawValue: accelerator), accelerator, "--accelerator",
                choices(AcceleratorChoice.self))
        }
        if let restart {
            errors.attempt("--restart") { () throws(UrsaError) in spec.restart = try RestartPolicy(parsing: restart) }
        }
        for text in publish {
            errors.attempt("--publish") { () throws(UrsaError) in spec.publish.append(try PublishSpec(parsing: text)) }
        }
        spec.kernelArguments = kernelArguments
        spec.vsock = vsock
        if network == ["none"] {
            // Wanted so: a machine without cards.
            spec.networks = []
        } else if network.contains("none") {
            errors.add("'none' stands beside networks", "--network", "give either 'none' or networks")
        } else {
            for text in network.isEmpty ? [NetworkSpec.defaultName] : network {
                errors.attempt("--network") { () throws(UrsaError) in spec.networks.append(try NICSpec(parsing: text)) }
            }
        }
        for path in sshKey {
            errors.attempt("--ssh-key") { () throws(UrsaError) in spec.sshKeys += try PublicKeys.read(path) }
        }
        if let error = UrsaError.all(errors.list + spec.validate(networks: networks)) { throw error }
        return spec
    }

    private func choices<Choice: CaseIterable & RawRepresentable>(_: Choice.Type) -> String
    where Choice.RawValue == String {
        "give " + Choice.allCases.map(\.rawValue).joined(separator: " or ")
    }
}

/// Errors of several options.
private struct Collected {
    private(set) var list: [UrsaError] = []

    mutating func add(_ message: String, _ option: String, _ remedy: String) {
        list.append(UrsaError(.usage, message, place: option, remedy: remedy))
    }

    /// Takes over a value that could be read; the text of one that could not is an error.
    mutating func set<Value>(_ place: inout Value, _ value: Value?, _ text: String, _ option: String, _ remedy: String)
    {
        if let value { place = value } else { add("'\(text)' is no value for it", option, remedy) }
    }

    /// Runs something that may throw; its error is placed at the option.
    mutating func attempt(_ option: String, _ body: () throws(UrsaError) -> Void) {
        do throws(UrsaError) {
            try body()
        } catch {
            for var single in error.flattened {
                single.place = option
                list.append(single)
            }
        }
    }
}
