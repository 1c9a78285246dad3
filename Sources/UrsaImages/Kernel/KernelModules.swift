import Glibc
import UrsaBase

/// The loadable modules of one kernel package and what each needs.
///
/// Dependencies are read from the modules themselves (section `.modinfo`, key `depends`; see modinfo(8)), so the
/// package's files are enough and no depmod has to run.
struct KernelModules: Sendable {
    /// Path of each module file by module name (`-` written as `_`, as the kernel does).
    private var files: [String: String] = [:]

    /// Finds all modules under a folder such as `lib/modules/6.1.0-1`.
    init(folder: String) {
        var folders = [folder]
        while let current = folders.popLast() {
            for name in File.list(current) {
                let path = current + "/" + name
                if let end = [".ko", ".ko.xz", ".ko.gz", ".ko.zst"].first(where: { name.hasSuffix($0) }) {
                    let module = name.dropLast(end.count).map { $0 == "-" ? "_" : $0 }
                    files[String(module)] = path
                } else if File.isDirectory(path) {
                    folders.append(path)
                }
            }
        }
    }

    /// A module ready to be loaded.
    struct Module: Sendable {
        /// Its name.
        let name: String
        /// Its ELF file, unpacked.
        let content: [UInt8]
    }

    /// The modules that `name` needs, deepest first, and `name` itself last; empty when the kernel has it built in or
    /// does not have it.
    func closure(_ name: String) throws(UrsaError) -> [Module] {
        var result: [Module] = []
        try collect(name, into: &result, depth: 0)
        return result
    }

    private func collect(_ name: String, into result: inout [Module], depth: Int) throws(UrsaError) {
        guard depth < 32 else {
            throw UrsaError(.invalidSpec, "kernel modules need each other in a circle", place: name)
        }
        guard let path = files[name], !result.contains(where: { $0.name == name }) else { return }
        let content = try KernelModules.read(path)
        for needed in KernelModules.dependencies(content) { try collect(needed, into: &result, depth: depth + 1) }
        result.append(Module(name: name, content: content))
    }

    private static func read(_ path: String) throws(UrsaError) -> [UInt8] {
        let bytes = try File.read(path, limit: 64 << 20)
        guard let compression = BootImage.Compression(magic: bytes), let program = compression.program else {
            return bytes
        }
        let result = try program.run(input: bytes)
        guard result.end.isSuccess else {
            throw UrsaError(.io, "can't unpack a kernel module: \(result.errors.trimmed)", place: path)
        }
        return result.output
    }

    /// The names in the `depends` entry of a module's `.modinfo` section; empty when there is none.
    static func dependencies(_ module: [UInt8]) -> [String] {
        guard let section = modinfo(module) else { return [] }
        for entry in module[section].split(separator: 0) {
            let text = String(decoding: entry, as: UTF8.self)
            guard text.hasPrefix("depends=") else { continue }
            return text.dropFirst(8).split(separator: ",").map { String($0.map { $0 == "-" ? "_" : $0 }) }
        }
        return []
    }

    /// Where the section `.modinfo` lies in a 64-bit ELF file (elf(5)).
    private static func modinfo(_ module: [UInt8]) -> Range<Int>? {
        guard module.has([0x7f, 0x45, 0x4c, 0x46, 2, 1], at: 0),
            let table = module.littleEndian(UInt64.self, at: 40), table < UInt64(module.count),
            let size = module.littleEndian(UInt16.self, at: 58), size >= 64,
            let count = module.littleEndian(UInt16.self, at: 60),
            let names = module.littleEndian(UInt16.self, at: 62), names < count
        else { return nil }
        func section(_ index: Int) -> (name: Int, bytes: Range<Int>)? {
            let at = Int(table) + index * Int(size)
            guard let name = module.littleEndian(UInt32.self, at: at),
                let offset = module.littleEndian(UInt64.self, at: at + 24), offset <= UInt64(module.count),
                let length = module.littleEndian(UInt64.self, at: at + 32), length <= UInt64(module.count) - offset
            else { return nil }
            return (Int(name), Int(offset)..<Int(offset + length))
        }
        guard let texts = section(Int(names))?.bytes else { return nil }
        for index in 0..<Int(count) {
            guard let (name, bytes) = section(index), name < texts.count else { continue }
            if module.has(Array(".modinfo\0".utf8), at: texts.lowerBound + name) { return bytes }
        }
        return nil
    }
}
