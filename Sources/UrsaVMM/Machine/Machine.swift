import CLinux
public import UrsaBase
import UrsaKVM

/// A machine: the parts that a configuration names, put together, and their life from power-on to power-off.
///
/// Everything that concerns the machine as a whole happens on one thread, that of `run`: other threads only ask for it (`request`). A
/// reset puts the same objects back to their first state; no descriptor is opened or closed by it.
public final class Machine: LifeCycleRequests, @unchecked Sendable {
    // SAFETY: parts are made in `init` and don't change; what happens to them happens on `run`'s thread; requests are behind a lock.

    /// What it was made from.
    public let configuration: MachineConfiguration
    let hypervisor: Hypervisor
    let ram: GuestRAM
    let ports = Bus()
    let memory = Bus()
    let interrupts: InterruptController
    let doorbells: Doorbells
    private(set) var processors: Processors
    private let fresh: [FreshProcessor]
    private let chips: [kvm_irqchip]
    private let timer: kvm_pit_state2?
    private let powerButton: InterruptLine
    private let clock = Clock()
    private let line: SerialLine?
    private let serial: SerialPort?

    private let requests = Locked<[LifeCycleRequest]>([])
    private let wake: OwnedFD
    private let inbox: RequestInbox
    private var outcome: Outcome?

    /// How a machine ended.
    public enum Outcome: Sendable, Hashable {
        /// Switched off, by whom.
        case poweredOff(LifeCycleCause)
        /// It could not go on; why.
        case failed(String)
    }

    /// Puts a machine together and loads its kernel. The descriptors of the configuration are the machine's from then on.
    ///
    /// - Parameter isCounting: counts exits by port and address, for `exitReport`.
    public init(_ configuration: MachineConfiguration, isCounting: Bool = false) throws(UrsaError) {
        self.configuration = configuration
        let kvm = KVM(adopting: OwnedFD(configuration.kvm))
        let version = try kvm.apiVersion()
        guard version == 12 else { throw UrsaError(.unsupported, "KVM's interface has version \(version), not 12") }
        let hypervisor = Hypervisor(try kvm.makeVirtualMachine())
        self.hypervisor = hypervisor
        try hypervisor.machine.reserveRealModePages(tss: AddressMap.taskState, identityMap: AddressMap.identityMap)
        try hypervisor.machine.makeInterruptChips()
        try hypervisor.machine.makeTimer()
        ram = try GuestRAM(
            bytes: configuration.memory, hugePages: configuration.hugePages, mergeable: configuration.isMergeable)
        for (slot, region) in ram.regions.enumerated() {
            try hypervisor.machine.setSlot(
                UInt32(slot), at: region.guestStart, region.base, region.size, owner: ram)
        }
        interrupts = try InterruptController(hypervisor)
        doorbells = Doorbells(hypervisor)
        powerButton = try interrupts.makeLine(gsi: Int(ACPITables.eventGSI))
        wake = OwnedFD(try check(clinux_eventfd(), "make an eventfd"))
        let inbox = RequestInbox()
        self.inbox = inbox

        // Devices of every machine.
        try ports.add(PowerManagement(inbox), at: AddressMap.powerManagement, count: 4, name: "power management")
        try ports.add(ResetPulse(inbox, isCommand: false), at: 0x60, count: 1, name: "keyboard controller, data")
        try ports.add(ResetPulse(inbox, isCommand: true), at: 0x64, count: 1, name: "keyboard controller")
        try ports.add(clock, at: 0x70, count: 2, name: "clock")
        try ports.add(PanicNotice(inbox), at: 0x505, count: 1, name: "panic notice")
        if let console = configuration.console {
            let peer: SerialLine.Peer =
                switch console {
                case .socket(let fd): .listener(fd)
                case .standard: .standard
                }
            let line = try SerialLine(peer)
            let port = SerialPort(line, try interrupts.makeLine(gsi: 4))
            try ports.add(port, at: 0x3f8, count: 8, name: "serial port")
            (self.line, serial) = (line, port)
        } else {
            (line, serial) = (nil, nil)
        }

        // Processors.
        let supported = try kvm.supportedCPUID()
        var all: [Processor] = []
        var fresh: [FreshProcessor] = []
        let count = UInt32(configuration.cpus)
        for index in 0..<count {
            let processor = try hypervisor.machine.makeVCPU(id: index)
            try processor.setCPUID(supported.forGuest(processor: index, count: count))
            fresh.append(try FreshProcessor(processor))
            try FreshProcessor.prepare(processor)
            all.append(
                Processor(
                    processor, index: Int(index), ports: ports, memory: memory, requests: inbox, isCounting: isCounting))
        }
        self.fresh = fresh
        processors = Processors(all)
        var chips: [kvm_irqchip] = []
        for number in VirtualMachine.interruptChips { chips.append(try hypervisor.machine.interruptChip(number)) }
        self.chips = chips
        timer = try? hypervisor.machine.timer()
        inbox.machine = self
        try load()
    }

    // MARK: Kernel and first state

    /// Puts kernel, tables and the first processor's registers where a start finds them.
    private func load() throws(UrsaError) {
        let kernel = try KernelImage.load(fd: configuration.boot.kernel, into: ram)
        let tables = ACPITables(description, at: MemoryMap.tables.lowerBound)
        guard UInt64(tables.bytes.count) <= UInt64(MemoryMap.tables.count),
            ram.write(tables.bytes, at: MemoryMap.tables.lowerBound)
        else { throw UrsaError(.unsupported, "the machine has too many parts for its ACPI tables") }
        try BootTables.write(
            kernel, initrd: configuration.boot.initrd, commandLine: configuration.boot.arguments,
            map: MemoryMap(ram, hasPCI: description.pciWindow64 != nil), rsdp: tables.rsdp, into: ram)
        let state = ProcessorState(kernel.entry, fresh: fresh[0].system)
        try processors.all[0].kernel.setSystemRegisters(state.system)
        try processors.all[0].kernel.setRegisters(state.general)
    }

    /// What the ACPI tables are to tell.
    private var description: ACPIMachine {
        var result = ACPIMachine(processors: configuration.cpus)
        if serial != nil { result.serial = (port: 0x3f8, irq: 4) }
        result.clock = 0x70
        result.panic = 0x505
        return result
    }

    /// Puts everything back to its first state; processors are parked.
    private func restart() throws(UrsaError) {
        serial?.reset()
        clock.reset()
        ram.clear()
        for chip in chips { try hypervisor.machine.setInterruptChip(chip) }
        if let timer { try hypervisor.machine.setTimer(timer) }
        for (processor, fresh) in zip(processors.all, fresh) {
            try fresh.restore(processor.kernel)
            try FreshProcessor.prepare(processor.kernel)
        }
        try load()
    }

    // MARK: Life

    /// Notes a request, by any thread.
    public func request(_ request: LifeCycleRequest) {
        switch request {
        case .reset, .powerOff, .panicked, .failed, .pause: processors.hold()
        case .resume, .crashLoaded: break
        }
        // A guest can repeat itself; one of a kind is enough.
        requests.withLock { if !$0.contains(request) { $0.append(request) } }
        clinux_eventfd_signal(wake.raw)
    }

    /// Presses the power button.
    public func pressPowerButton() { powerButton.signal() }

    /// Runs the machine until it ends.
    public func run() throws(UrsaError) -> Outcome {
        if let line, let serial { try line.start(for: serial) }
        try processors.start()
        processors.release()
        let loop = try EventLoop()
        try loop.add(wake.raw, .read) { [self] _ in
            serve()
            if outcome != nil { loop.stop() }
        }
        try loop.run()
        processors.end()
        line?.stop()
        return outcome ?? .failed("the machine ended without a reason")
    }

    private func serve() {
        _ = clinux_eventfd_take(wake.raw)
        let waiting = requests.withLock { list in
            defer { list = [] }
            return list
        }
        for request in waiting where outcome == nil { serve(request) }
    }

    private func serve(_ request: LifeCycleRequest) {
        switch request {
        case .reset:
            processors.waitUntilHeld()
            do throws(UrsaError) {
                try restart()
                processors.release()
            } catch {
                outcome = .failed("the machine can't be reset: \(error.message)")
            }
        case .powerOff(let cause): outcome = .poweredOff(cause)
        case .panicked: outcome = .poweredOff(.guestPanic)
        case .crashLoaded: break
        case .pause: processors.waitUntilHeld()
        case .resume: processors.release()
        case .failed(let why): outcome = .failed(why)
        }
    }

    /// Exits of the guest by reason, then by port and address, most frequent first; after `run`.
    public var exitReport: [String] {
        var lines: [String] = []
        for processor in processors.all {
            let exits = processor.exits
            lines.append("processor \(processor.index): \(exits.reduce(0, +)) exits")
            for (reason, count) in exits.enumerated() where count > 0 { lines.append("  reason \(reason): \(count)") }
            for line in processor.details?.lines.prefix(60) ?? [] { lines.append("  \(line.name): \(line.count)") }
        }
        return lines
    }
}

/// Takes requests of devices and processors to the machine, which does not exist yet when they are made.
final class RequestInbox: LifeCycleRequests, @unchecked Sendable {
    // SAFETY: `machine` is set once, before any processor runs.
    weak var machine: Machine?
    func request(_ request: LifeCycleRequest) { machine?.request(request) }
}
