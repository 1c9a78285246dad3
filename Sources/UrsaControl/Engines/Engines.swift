import Glibc
import UrsaBase
import UrsaKVM
import UrsaKeeper
import UrsaModel
import UrsaQEMU

/// What runs a machine this time.
enum Engine: Hashable, Sendable {
    /// Our own monitor, which needs KVM.
    case native
    /// QEMU, with guest code executed so.
    case qemu(QEMUMachine.Accelerator)
}

/// Chooses what runs machines by what this host can do, not by what device files it has.
enum Engines {
    /// What one machine asks for.
    struct Wish: Sendable {
        /// The machine, with `engine` and `accelerator`.
        let spec: MachineSpec
        /// Why our own monitor can't run it; empty when it can.
        let lacks: [UrsaError]
    }

    /// The engine for each wish. The probe's verdict is kept for the boot; a remark about emulation is made once a boot.
    ///
    /// - Throws: `.unsupported` when an engine or KVM was asked for by name and can't be had.
    static func choose(
        _ wishes: [Wish], home: Home, notice: @Sendable (String) -> Void
    ) throws(UrsaError) -> [Engine] {
        guard wishes.contains(where: { $0.spec.accelerator != .tcg || $0.spec.engine == .native }) else {
            if let error = UrsaError.all(wishes.flatMap { QEMUEngine.lacks($0.spec) }) { throw error }
            return wishes.map { _ in .qemu(.tcg) }
        }
        let (trouble, isNew) = probe(home)
        let hasNative = (try? Programs.monitor()) != nil
        var errors: [UrsaError] = []
        var result: [Engine] = []
        for wish in wishes {
            do throws(UrsaError) {
                result.append(try choose(wish, trouble: trouble, hasNative: hasNative))
            } catch { errors.append(error) }
        }
        if let error = UrsaError.all(errors) { throw error }
        if isNew, let trouble, wishes.contains(where: { $0.spec.engine != .native && $0.spec.accelerator == .auto }) {
            notice("machines run emulated, slower than by KVM: \(trouble) (`ursa doctor` tells more)")
        }
        return result
    }

    /// The engine for one wish.
    ///
    /// - Parameters:
    ///   - trouble: why KVM can't run stock kernels here, nil when it can.
    ///   - hasNative: whether our own monitor is installed.
    static func choose(_ wish: Wish, trouble: String?, hasNative: Bool) throws(UrsaError) -> Engine {
        let spec = wish.spec
        let place = "machine \(spec.name)"
        if spec.engine == .native {
            guard spec.accelerator != .tcg else {
                throw UrsaError(
                    .invalidSpec, "the native engine has no emulation", place: "\(place), accelerator",
                    remedy: "leave `accelerator` out, or take `engine: qemu`")
            }
            if let error = UrsaError.all(wish.lacks) { throw error }
            if let trouble {
                throw UrsaError(
                    .unsupported, "the native engine can't run machines here: \(trouble)", place: place,
                    remedy: "`ursa doctor` tells what mends it; `engine: auto` takes QEMU's emulation meanwhile")
            }
            return .native
        }
        let accelerator: QEMUMachine.Accelerator
        switch spec.accelerator {
        case .tcg: accelerator = .tcg
        case .auto where trouble != nil: accelerator = .tcg
        case .kvm, .auto:
            if let trouble {
                throw UrsaError(
                    .unsupported, "KVM can't run machines here: \(trouble)", place: place,
                    remedy: "`ursa doctor` tells what mends it; `accelerator: auto` takes emulation meanwhile")
            }
            if spec.engine == .auto, wish.lacks.isEmpty, hasNative { return .native }
            accelerator = .kvm
        }
        let missing = QEMUEngine.lacks(spec)
        guard !missing.isEmpty else { return .qemu(accelerator) }
        // Whoever left the choice to us is told why the other engine was none.
        var others: [UrsaError] = []
        if spec.engine == .auto {
            others = wish.lacks
            let reason: String? =
                if spec.accelerator == .tcg {
                    "the native engine has no emulation"
                } else if let trouble {
                    "the native engine can't run machines here: \(trouble)"
                } else if !hasNative { "the native engine is not installed" } else { nil }
            if let reason { others.append(UrsaError(.unsupported, reason, place: place)) }
        }
        throw UrsaError.all(missing + others) ?? UrsaError(.bug, "no engine was found", place: place)
    }

    /// Pairs of queues of each card on a tap: one for each processor up to eight, so that processors send and receive
    /// beside each other. A machine has 16 at most, since each is two descriptors; QEMU's emulation has one thread for all of
    /// them and nothing to gain.
    static func queuePairs(cpus: Int, cards: Int, _ engine: Engine) -> Int {
        engine == .qemu(.tcg) ? 1 : max(1, min(cpus, 8, 16 / max(1, cards)))
    }

    /// What a machine was started with, from its launch file; nil when it never was.
    static func used(folder: String) -> (engine: String, accelerator: String)? {
        guard let launch = try? KeeperLaunch.read(folder: folder) else { return nil }
        if Path.name(launch.program) == NativeEngine.programName { return ("native", "kvm") }
        let arguments = launch.arguments
        guard let option = arguments.firstIndex(of: "-accel"), option + 1 < arguments.count else { return nil }
        return ("qemu", arguments[option + 1].hasPrefix("kvm") ? "kvm" : "tcg")
    }

    /// Why KVM can't be used, nil when it can; and whether that was found just now.
    static func probe(_ home: Home) -> (String?, isNew: Bool) {
        let path = home.folder + "/kvm.json"
        let boot = bootIdentifier()
        // Rights may change within a boot; the rest of the verdict does not.
        let access = access("/dev/kvm", R_OK | W_OK) == 0
        if let known = try? JSON.parse(File.read(path)), known["boot"]?.string == boot, known["access"]?.bool == access
        {
            return (known["trouble"]?.string, false)
        }
        let verdict = KVMProbe.run()
        let trouble: String? = verdict.isUsable ? nil : verdict.description
        let record = JSON.record(["boot": .string(boot), "access": .bool(access), "trouble": trouble.map(JSON.string)])
        try? File.replace(path, text: record.text)
        return (trouble, true)
    }
}
