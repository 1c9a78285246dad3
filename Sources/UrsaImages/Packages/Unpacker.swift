import Glibc
import UrsaBase

/// Programs that turn one file into another, and programs whose lines a person wants to see.
enum Unpacker {
    /// Runs a program from one file to a new one; the new file is complete or an error is thrown.
    static func run(_ program: Program, from source: String, to target: String) throws(UrsaError) {
        let input = try File.open(source, O_RDONLY)
        let output = try File.open(target, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
        let errors = try makePipe()
        var program = program
        program.descriptors = [0: input.raw, 1: output.raw, 2: errors.write.raw]
        program.diesWithParent = true
        let child = try program.start()
        let end = try child.wait()
        guard end.isSuccess else {
            // What it wrote before it ended is in the pipe, so this read does not wait.
            try errors.read.setNonBlocking()
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = max(0, read(errors.read.raw, &buffer, buffer.count))
            let words = String(decoding: buffer[0..<count], as: UTF8.self).trimmed
            throw UrsaError(
                .io, "can't unpack \(Path.name(source)): \(child.name) \(words.isEmpty ? "\(end)" : words)",
                place: source)
        }
    }
}

/// A long-running program whose output a person may want to follow.
enum Follower {
    /// Runs a program to its end; both of its outputs are handed on line by line.
    ///
    /// - Parameters:
    ///   - action: for the error: "can't ACTION: last lines".
    ///   - seconds: when it takes longer, it is killed and `.timeout` is thrown.
    ///   - tick: called about five times a second, for progress that is not in the lines.
    ///   - line: called with each line.
    static func run(
        _ program: Program, _ action: String, seconds: Double, tick: () -> Void = {}, line: (String) -> Void = { _ in }
    ) throws(UrsaError) {
        let result = try end(of: program, action, seconds: seconds, tick: tick, line: line)
        guard result.end.isSuccess else {
            let words = result.lastLines.joined(separator: "; ")
            throw UrsaError(
                .io, "can't \(action): \(words.isEmpty ? "\(Path.name(program.path)) \(result.end)" : words)")
        }
    }

    /// The same, but how the program ended is left to the caller to judge.
    static func end(
        of program: Program, _ action: String, seconds: Double, tick: () -> Void = {}, line: (String) -> Void = { _ in }
    ) throws(UrsaError) -> (end: ProcessEnd, lastLines: [String]) {
        let pipe = try makePipe()
        var program = program
        program.descriptors[1] = pipe.write.raw
        program.descriptors[2] = pipe.write.raw
        program.diesWithParent = true
        let child = try program.start()
        let reader = pipe.read
        close(pipe.write)
        let deadline = Deadline.after(seconds: seconds)
        var lines = LineSplitter()
        var last: [String] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        var open = true
        while open {
            var waiting = pollfd(fd: reader.raw, events: Int16(POLLIN), revents: 0)
            if poll(&waiting, 1, min(200, deadline.millisecondsLeft)) > 0 {
                let count = read(reader.raw, &buffer, buffer.count)
                if count == 0 || (count < 0 && errno != EINTR) { open = false }
                for text in lines.add(buffer[0..<max(0, count)]) where !text.isEmpty {
                    last = last.suffix(4) + [text]
                    line(text)
                }
            }
            tick()
            if deadline.isPast {
                child.signal(SIGKILL)
                _ = try child.wait()
                throw UrsaError(.timeout, "can't \(action): \(child.name) did not finish within \(Int(seconds)) s")
            }
        }
        return (try child.wait(), last)
    }
}

/// Cuts a stream of bytes into lines (at line feed or carriage return), each at most 4096 bytes long.
struct LineSplitter {
    private var rest: [UInt8] = []

    /// Adds bytes and returns the lines that they complete.
    mutating func add(_ bytes: ArraySlice<UInt8>) -> [String] {
        var lines: [String] = []
        for byte in bytes {
            if byte == 10 || byte == 13 || rest.count >= 4096 {
                lines.append(String(decoding: rest, as: UTF8.self).trimmed)
                rest.removeAll(keepingCapacity: true)
            }
            if byte != 10, byte != 13 { rest.append(byte) }
        }
        return lines
    }
}

private func close(_ fd: consuming OwnedFD) {}
