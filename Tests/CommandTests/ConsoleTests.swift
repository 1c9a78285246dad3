import Glibc
import Testing
import UrsaBase

@testable import ursa

@Suite struct ConsoleScriptTests {
    /// A guest at the other end of the socket: waits for `expects`, then says `says`.
    private func converse(
        send: String?, until: String, seconds: Double = 5, expects: String = "", says: [String], closes: Bool = false
    ) throws {
        let script = try ConsoleScript(send: send, until: until)
        let pair = try UnixSocket.pair()
        let guest = SharedFD(pair.other)
        let thread = try OSThread {
            var heard = ""
            var buffer = [UInt8](repeating: 0, count: 100)
            while !heard.hasSuffix(expects) {
                let count = read(guest.raw, &buffer, buffer.count)
                guard count > 0 else { return }
                heard += String(decoding: buffer[0..<count], as: UTF8.self)
            }
            for text in says {
                try? writeAllBytes(guest.raw, Array(text.utf8), "to the console")
                pause(milliseconds: 5)
            }
            if closes { shutdown(guest.raw, Int32(SHUT_RDWR)) }
        }
        defer { thread.join() }
        try script.run(pair.one, name: "web", seconds: seconds, show: { _ in })
    }

    @Test("Text is sent, and the pattern is found over pieces, colours and line ends")
    func talks() throws {
        try converse(
            send: #"uname\n"#, until: #"^root@web:~# $"#, expects: "uname\n",
            says: ["Linux\r\n\u{1b}[32mro", "ot@web\u{1b}[0m:~", "# "])
        try converse(send: nil, until: "^second$", says: ["first\r\nsecond\r\nthird"])
    }

    @Test("A pattern that does not come is a time-out")
    func timesOut() throws {
        let error = #expect(throws: UrsaError.self) {
            try converse(send: nil, until: "never", seconds: 0.2, says: ["x"])
        }
        #expect(error?.code == .timeout)
    }

    @Test("The end of the machine is told, not waited for")
    func ends() throws {
        let error = #expect(throws: UrsaError.self) {
            try converse(send: nil, until: "never", seconds: 60, says: ["x"], closes: true)
        }
        #expect(error?.code == .io)
    }

    @Test("Output is searched in a window that does not grow")
    func window() throws {
        let noise = String(repeating: "noise noise noise\n", count: 4000)
        try converse(send: nil, until: "needle", says: [noise, noise, "need", "le"])
    }

    @Test(
        "Patterns that are none are wrong usage",
        arguments: ["(", "[a", "a**b", "", "\\p{x}", String(repeating: "(", count: 5000)])
    func wrongPatterns(_ pattern: String) {
        let error = #expect(throws: UrsaError.self) { try ConsoleScript(send: nil, until: pattern) }
        #expect(error?.code == .usage)
        #expect(error?.place == "--until")
    }
}

@Suite struct LogFollowerTests {
    private final class Folder {
        let path: String
        init() throws {
            var template = Array("/tmp/ursa-log-XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else { throw UrsaError.system(.current, "make a temporary folder") }
            path = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        deinit { try? File.removeTree(path) }

        func add(_ text: String, to name: String = "log") throws {
            try File.append(path + "/" + name, Array(text.utf8))
        }
        func follower() throws -> LogFollower {
            let path = path
            return try LogFollower { () throws(UrsaError) in
                ["log.2", "log.1", "log"].map { path + "/" + $0 }.filter(File.exists)
            }
        }
    }

    private func text(_ log: inout LogFollower) throws -> String {
        var out: [UInt8] = []
        try log.read { out += $0 }
        return String(decoding: out, as: UTF8.self)
    }

    @Test("All files are read, oldest first")
    func whole() throws {
        let folder = try Folder()
        try folder.add("1\n2\n", to: "log.2")
        try folder.add("3\n", to: "log.1")
        try folder.add("4")
        var log = try folder.follower()
        #expect(try text(&log) == "1\n2\n3\n4")
        #expect(try text(&log) == "")
    }

    @Test(
        "The last lines are found over files, with and without a final line feed",
        arguments: [(0, ""), (1, "5\n"), (2, "4\n5\n"), (3, "3\n4\n5\n"), (4, "2\n3\n4\n5\n"), (9, "1\n2\n3\n4\n5\n")])
    func tail(_ lines: Int, _ wanted: String) throws {
        let folder = try Folder()
        try folder.add("1\n2\n3\n", to: "log.1")
        try folder.add("4\n5\n")
        var log = try folder.follower()
        try log.seek(lines: lines)
        #expect(try text(&log) == wanted)
    }

    @Test("A line longer than the buffer is one line")
    func longLine() throws {
        let folder = try Folder()
        let line = String(repeating: "x", count: 200_000)
        try folder.add("before\n\(line)\nafter")
        var log = try folder.follower()
        try log.seek(lines: 2)
        #expect(try text(&log) == "\(line)\nafter")
    }

    @Test("Nothing is lost or repeated when files rotate, even twice between two looks")
    func rotation() throws {
        let folder = try Folder()
        var log = try folder.follower()
        #expect(try text(&log) == "")
        try folder.add("a\n")
        #expect(try text(&log) == "a\n")
        try folder.add("b\n")
        rename(folder.path + "/log", folder.path + "/log.1")
        try folder.add("c\n")
        #expect(try text(&log) == "b\nc\n")
        for (old, new) in [("log.1", "log.2"), ("log", "log.1")] {
            rename(folder.path + "/" + old, folder.path + "/" + new)
        }
        try folder.add("d\n")
        rename(folder.path + "/log.1", folder.path + "/log.2")
        rename(folder.path + "/log", folder.path + "/log.1")
        try folder.add("e\n")
        #expect(try text(&log) == "d\ne\n")
    }

    @Test("A change wakes a waiting reader")
    func wakes() throws {
        let folder = try Folder()
        try folder.add("a\n")
        var log = try folder.follower()
        #expect(try text(&log) == "a\n")
        let writer = try OSThread { [path = folder.path] in
            pause(milliseconds: 50)
            try? File.append(path + "/log", Array("b\n".utf8))
        }
        let isWoken = log.wait(seconds: 10)
        #expect(isWoken)
        writer.join()
        #expect(try text(&log) == "b\n")
        let isWokenAgain = log.wait(seconds: 0.01)
        #expect(!isWokenAgain)
    }

    @Test("A log that is cut short is read from its start")
    func truncation() throws {
        let folder = try Folder()
        try folder.add("long text\n")
        var log = try folder.follower()
        _ = try text(&log)
        truncate(folder.path + "/log", 0)
        try folder.add("new\n")
        #expect(try text(&log) == "new\n")
    }
}
