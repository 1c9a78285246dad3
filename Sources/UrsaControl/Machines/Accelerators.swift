import Glibc
import UrsaBase
import UrsaKVM
import UrsaKeeper
import UrsaModel
import UrsaQEMU

/// Chooses between KVM and emulation by what this host can do, not by what device files it has.
enum Accelerators {
    /// The accelerator for each wish. The probe's verdict is kept for the boot; a remark about emulation is made once a boot.
    ///
    /// - Throws: `.unsupported` when KVM was asked for by name and can't run stock kernels.
    static func choose(
        _ wishes: [AcceleratorChoice], home: Home, notice: @Sendable (String) -> Void
    ) throws(UrsaError) -> [QEMUMachine.Accelerator] {
        guard wishes.contains(where: { $0 != .tcg }) else { return wishes.map { _ in .tcg } }
        let (verdict, isNew) = probe(home)
        var result: [QEMUMachine.Accelerator] = []
        for wish in wishes {
            switch wish {
            case .tcg: result.append(.tcg)
            case .auto: result.append(verdict == nil ? .kvm : .tcg)
            case .kvm:
                if let verdict {
                    throw UrsaError(
                        .unsupported, "KVM can't run machines here: \(verdict)",
                        remedy: "`ursa doctor` tells what mends it; `accelerator: auto` takes emulation meanwhile")
                }
                result.append(.kvm)
            }
        }
        if isNew, let verdict, wishes.contains(.auto) {
            notice("machines run emulated, slower than by KVM: \(verdict) (`ursa doctor` tells more)")
        }
        return result
    }

    /// What the engine of a machine was started with, from its launch file.
    static func used(folder: String) -> String? {
        guard let arguments = try? KeeperLaunch.read(folder: folder).arguments,
            let option = arguments.firstIndex(of: "-accel"), option + 1 < arguments.count
        else { return nil }
        return arguments[option + 1].hasPrefix("kvm") ? "kvm" : "tcg"
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
