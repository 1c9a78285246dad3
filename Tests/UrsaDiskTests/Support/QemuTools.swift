import UrsaBase

/// QEMU's own tools, which say whether an image is one.
enum QemuTools {
    static let areThere = Path.program("qemu-img") != nil && Path.program("qemu-io") != nil

    /// Runs qemu-img and returns what it printed; an exit status that is not among `allowed` is an error.
    @discardableResult
    static func img(_ arguments: [String], allowed: Set<Int32> = [0]) throws(UrsaError) -> String {
        try run("qemu-img", arguments, allowed)
    }

    /// Runs commands in one qemu-io. It must not print an error for any of them.
    @discardableResult
    static func io(_ path: String, _ commands: [String], options: [String] = []) throws(UrsaError) -> String {
        let output = try run("qemu-io", options + ["-f", "qcow2"] + commands.flatMap { ["-c", $0] } + [path], [0])
        for line in output.split(separator: "\n")
        where line.contains("failed") || line.contains("rror") || line.contains("usage") {
            throw UrsaError(.io, "qemu-io: \(line)")
        }
        return output
    }

    /// Throws unless `qemu-img check` finds the image whole.
    static func check(_ path: String, mayLeak: Bool = false) throws(UrsaError) {
        _ = try run("qemu-img", ["check", "-f", "qcow2", path], mayLeak ? [0, 3] : [0])
    }

    private static func run(
        _ program: String, _ arguments: [String], _ allowed: Set<Int32>
    ) throws(UrsaError) -> String {
        let output = try Program(program, arguments).run(seconds: 120)
        let text = String(decoding: output.output, as: UTF8.self) + output.errors
        guard case .exited(let status) = output.end, allowed.contains(status) else {
            throw UrsaError(.io, "\(program) \(arguments.joined(separator: " ")): \(output.end): \(text.prefix(2000))")
        }
        return text
    }
}
