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
    let memoryBus = Bus()
    let interrupts: InterruptController
    let doorbells: Doorbells
    let group: Processors
    private let fresh: [FreshProcessor]
    private let chips: [kvm_irqchip]
    private let timer: kvm_pit_state2?
    let powerButton: InterruptLine
    let devices: VirtioDevices
    let events: MonitorEvents
    /// Devices that the monitor asks about; set in `init` and constant afterwards.
    var blocks: [BlockDevice] = []
    var balloonDevice: BalloonDevice?
    private let clock: Clock
    /// What it is doing; on the thread of `run`.
    public private(set) var state = MachineState.prelaunch
    /// The paravirtual clock while the processors are stopped.
    private var stoppedClock: UInt64?
    private let line: SerialLine?
    private let serial: SerialPort?

    private let requests = Locked<[LifeCycleRequest]>([])
    private let wake: OwnedFD
    private let inbox: RequestInbox
    private var outcome: Outcome?
    /// Descriptors that are kept for the machine's whole life.
    private let files: [SharedFD]
    /// When the processors were first let go.
    private(set) var started = Deadline.now

    /// How a machine ended.
    public enum Outcome: Sendable, Hashable {
        /// Switched off, by whom.
        case poweredOff(MonitorEvent.Cause)
        /// It could not go on; why.
        case failed(String)
    }

    /// Puts a machine together and loads its kernel. The descriptors of the configuration are the machine's from then on.
    ///
    /// - Parameter isCounting: counts exits by port and address, for `exitReport`.
    public init(_ configuration: MachineConfiguration, isCounting: Bool = false) throws(UrsaError) {
        self.configuration = configuration
        let kept = [configuration.boot.kernel] + [configuration.boot.initrd].compactMap { $0 } + configuration.monitors
        files = kept.map { SharedFD(OwnedFD($0)) }
        let kvm = KVM(adopting: OwnedFD(configuration.kvm))
        let version = try kvm.apiVersion()
        guard version == 12 else { throw UrsaError(.unsupported, "KVM's interface has version \(version), not 12") }
        let hypervisor = Hypervisor(try kvm.makeVirtualMachine())
        self.hypervisor = hypervisor
        // Memory first: once there are chips, each change of the slots waits for the kernel's readers of both.
        ram = try GuestRAM(
            bytes: configuration.memory, hugePages: configuration.hugePages, mergeable: configuration.isMergeable)
        for (slot, region) in ram.regions.enumerated() {
            try hypervisor.machine.setSlot(
                UInt32(slot), at: region.guestStart, region.base, region.size, owner: ram)
        }
        try hypervisor.machine.reserveRealModePages(tss: AddressMap.taskState, identityMap: AddressMap.identityMap)
        try hypervisor.machine.makeInterruptChips()
        try hypervisor.machine.makeTimer()
        interrupts = try InterruptController(hypervisor)
        doorbells = Doorbells(hypervisor)
        powerButton = try interrupts.makeLine(gsi: Int(ACPITables.eventGSI))
        wake = OwnedFD(try check(clinux_eventfd(), "make an eventfd"))
        let events = try MonitorEvents()
        self.events = events
        clock = Clock(changed: { offset in events.send(.clockChanged(offset: offset)) })
        devices = try VirtioDevices(
            configuration.profile == .pci ? .pci : .mmio, ram: ram, memory: memoryBus, ports: ports,
            interrupts: interrupts,
            doorbells: doorbells, log: { MonitorProgram.log($0) })
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
                    processor, index: Int(index), ports: ports, memory: memoryBus, requests: inbox,
                    isCounting: isCounting))
        }
        self.fresh = fresh
        group = Processors(all)
        var chips: [kvm_irqchip] = []
        for number in VirtualMachine.interruptChips { chips.append(try hypervisor.machine.interruptChip(number)) }
        self.chips = chips
        timer = try? hypervisor.machine.timer()
        inbox.machine = self
        try attachDevices()
        try load()
    }

    // MARK: Kernel and first state

    /// Puts kernel, tables and the first processor's registers where a start finds them.
    private func load() throws(UrsaError) {
        let words = configuration.boot.arguments.split(separator: " ")
        let kernel = try KernelImage.load(
            fd: configuration.boot.kernel, into: ram, isMovable: !words.contains("nokaslr"))
        let tables = ACPITables(description, at: MemoryMap.tables.lowerBound)
        guard MemoryMap.tables.lowerBound + UInt64(tables.bytes.count) <= ResetVector.address,
            ram.write(tables.bytes, at: MemoryMap.tables.lowerBound),
            ram.write(ResetVector.code, at: ResetVector.address)
        else { throw UrsaError(.unsupported, "the machine has too many parts for its ACPI tables") }
        try BootTables.write(
            kernel, initrd: configuration.boot.initrd, commandLine: configuration.boot.arguments,
            map: MemoryMap(ram, hasPCI: description.pciWindow64 != nil), rsdp: tables.rsdp, into: ram)
        let state = ProcessorState(kernel.entry, fresh: fresh[0].system)
        try group.all[0].kernel.setSystemRegisters(state.system)
        try group.all[0].kernel.setRegisters(state.general)
    }

    /// What the ACPI tables are to tell.
    private var description: ACPIMachine {
        var result = ACPIMachine(processors: configuration.cpus)
        if serial != nil { result.serial = (port: 0x3f8, irq: 4) }
        result.clock = 0x70
        result.panic = 0x505
        if devices.pci != nil { result.pciWindow64 = AddressMap.pciWindow64(memory: configuration.memory) }
        result.virtio = devices.windows.map { ACPIMachine.Window(address: $0.address, gsi: $0.gsi) }
        return result
    }

    /// Puts everything back to its first state; processors are parked.
    private func restart() throws(UrsaError) {
        devices.reset()
        serial?.reset()
        clock.reset()
        ram.clear()
        for chip in chips { try hypervisor.machine.setInterruptChip(chip) }
        if let timer { try hypervisor.machine.setTimer(timer) }
        for (processor, fresh) in zip(group.all, fresh) {
            try fresh.restore(processor.kernel)
            try FreshProcessor.prepare(processor.kernel)
        }
        try load()
    }

    // MARK: Life

    /// Notes a request, by any thread.
    public func request(_ request: LifeCycleRequest) {
        switch request {
        case .reset, .powerOff, .panicked, .failed: group.hold()
        case .crashLoaded: break
        }
        // A guest can repeat itself; one of a kind is enough.
        requests.withLock { if !$0.contains(request) { $0.append(request) } }
        clinux_eventfd_signal(wake.raw)
    }

    /// Runs the machine until it ends. Once.
    ///
    /// - Parameter signals: a signalfd whose signals end the machine.
    public func run(signals: Int32? = nil) throws(UrsaError) -> Outcome {
        let loop = try EventLoop()
        let server = try MonitorServer(
            loop: loop, listeners: configuration.monitors, machine: self, events: events)
        if let line, let serial { try line.start(for: serial) }
        try group.start()
        state = .running
        started = .now
        group.release()
        try loop.add(wake.raw, .read) { [self] _ in
            serve()
            if outcome != nil { loop.stop() }
        }
        if let signals {
            try loop.add(signals, .read) { [self] _ in
                end(.hostSignal)
                loop.stop()
            }
        }
        // What the start needed is not needed any more; the program's text comes back from the page cache where it is.
        // Again when the guest's own start, which looks at every device, is over.
        for seconds in [0.5, 2, 10] { loop.after(seconds: seconds) { _ = clinux_give_back_memory() } }
        try loop.run()
        // The handlers hold loop and machine.
        loop.remove(wake.raw)
        if let signals { loop.remove(signals) }
        group.end()
        devices.close()
        line?.stop()
        server.finish(seconds: 1)
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
        case .reset(let cause): restart(cause)
        case .powerOff(let cause): end(cause)
        case .panicked:
            events.send(.panicked(action: "poweroff"))
            end(.guestPanic)
        case .crashLoaded: events.send(.crashLoaded())
        case .failed(let why):
            state = .internalError
            events.send(.shutdown(.hostError))
            outcome = .failed(why)
        }
    }

    private func end(_ cause: MonitorEvent.Cause) {
        group.hold()
        state = cause == .guestPanic ? .guestPanicked : .shutdown
        events.send(.shutdown(cause))
        outcome = .poweredOff(cause)
    }

    /// Starts the machine anew; a stopped one stays stopped.
    func restart(_ cause: MonitorEvent.Cause) {
        group.hold()
        group.waitUntilHeld()
        // What the processors asked for before they stopped is void.
        requests.withLock { $0 = $0.filter { if case .reset = $0 { false } else { true } } }
        do throws(UrsaError) {
            try restart()
        } catch {
            request(.failed("the machine can't be reset: \(error.message)"))
            return
        }
        events.send(.reset(cause))
        if state == .running { group.release() }
    }

    /// Stops the processors and the guest's clock.
    func pauseProcessors() throws(UrsaError) {
        guard state == .running else { return }
        group.hold()
        group.waitUntilHeld()
        stoppedClock = try? hypervisor.machine.clock()
        state = .paused
        events.send(.stop())
    }

    /// Lets stopped processors go on, with the clock where it stopped.
    func resumeProcessors() throws(UrsaError) {
        guard state == .paused else { return }
        if let stoppedClock { try hypervisor.machine.setClock(stoppedClock) }
        // The guest's watchdog shall not take the time that it was stopped for a fault of its own.
        for processor in group.all { try processor.kernel.noteClockPause() }
        state = .running
        events.send(.resume())
        group.release()
    }

    /// Exits of the guest by reason, then by port and address, most frequent first; after `run`.
    public var exitReport: [String] {
        var lines: [String] = []
        for processor in group.all {
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
