import Glibc
import TestSupport
import Testing
import UrsaBase

/// A folder with disk images, `ursa`, and the qemu tools to hold it to.
struct DiskWorkshop {
    static let hasQEMU = Path.program("qemu-img") != nil && Path.program("qemu-io") != nil

    let runner: CommandRunner
    var folder: String { runner.work }

    init() throws { runner = try CommandRunner() }

    func path(_ name: String) -> String { folder + "/" + name }

    /// Runs `ursa image …`; the working folder is the workshop's.
    func ursa(_ words: String..., seconds: Double = 60) throws -> CommandRunner.Result {
        try runner.run(bytes: (["image"] + words).map { Array($0.utf8) }, seconds: seconds)
    }

    /// Runs `ursa image …`, which must succeed; returns what it printed.
    @discardableResult
    func make(_ words: String..., at place: SourceLocation = #_sourceLocation) throws -> String {
        let result = try runner.run(bytes: (["image"] + words).map { Array($0.utf8) }, seconds: 120)
        #expect(
            result.end == .exited(0), "ursa image \(words.joined(separator: " ")): \(result.errors)",
            sourceLocation: place)
        return result.output
    }

    /// Runs `qemu-img` in the workshop's folder.
    func qemu(_ words: [String]) throws -> Program.Output {
        var program = Program("qemu-img", words)
        program.directory = folder
        return try program.run(seconds: 120)
    }

    /// Runs `qemu-img`, which must succeed; returns what it printed.
    @discardableResult
    func qemu(_ words: String..., at place: SourceLocation = #_sourceLocation) throws -> String {
        let result = try qemu(words)
        #expect(
            result.end == .exited(0), "qemu-img \(words.joined(separator: " ")): \(result.errors)",
            sourceLocation: place)
        return result.text
    }

    /// Runs `qemu-io` commands on an image.
    func io(_ format: String, _ name: String, _ commands: String..., at place: SourceLocation = #_sourceLocation) throws
    {
        var program = Program("qemu-io", ["-f", format] + commands.flatMap { ["-c", $0] } + [name])
        program.directory = folder
        let result = try program.run()
        #expect(result.end == .exited(0), "qemu-io \(name): \(result.errors)", sourceLocation: place)
    }

    /// Expects that two images read the same, as `qemu-img` reads them.
    func expectSame(
        _ a: String, _ formatA: String, _ b: String, _ formatB: String, at place: SourceLocation = #_sourceLocation
    ) throws {
        let result = try qemu(["compare", "-f", formatA, "-F", formatB, a, b])
        #expect(result.end == .exited(0), "\(a) and \(b): \(result.text)\(result.errors)", sourceLocation: place)
    }

    /// Expects that `qemu-img check` finds nothing.
    func expectSound(_ name: String, at place: SourceLocation = #_sourceLocation) throws {
        let result = try qemu(["check", "-f", "qcow2", name])
        #expect(result.end == .exited(0), "\(name): \(result.text)\(result.errors)", sourceLocation: place)
    }

    /// A raw disk with pieces of noise, of text and of zeros, by a seed.
    func raw(_ name: String, size: Int, seed: UInt64) throws {
        let fd = try File.open(path(name), O_RDWR | O_CREAT | O_TRUNC, mode: 0o644)
        try retrying("size \(name)") { ftruncate(fd.raw, off_t(size)) }
        var random = Seeded(seed)
        var offset = 0
        while offset < size {
            let length = min(size - offset, 512 * (1 + Int(random.next() % 300)))
            defer { offset += length }
            let kind = random.next() % 4
            guard kind > 1 else { continue }
            var bytes = [UInt8](repeating: 0, count: length)
            for index in bytes.indices {
                bytes[index] =
                    kind == 2 ? UInt8(truncatingIfNeeded: random.next()) : UInt8(97 + (index / 7 + offset) % 9)
            }
            _ = bytes.withUnsafeBytes { pwrite(fd.raw, $0.baseAddress, length, off_t(offset)) }
        }
    }

    /// Files in the folder whose names begin like an unfinished image's.
    var unfinished: [String] { File.list(folder).filter { $0.contains(".new-") } }
}
