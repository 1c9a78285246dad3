import Testing
import UrsaBase

@testable import ursa

@Suite struct TextTests {
    @Test("Text of strangers can't command a terminal")
    func printableText() {
        #expect(printable("plain ünïcode 🐻") == "plain ünïcode 🐻")
        #expect(printable("\u{1b}[31mred\u{7}\n") == #"\x1b[31mred\x07\x0a"#)
        #expect(printable("\u{9b}2J") == #"\x9b2J"#)
        #expect(printable("a\u{202e}b") == #"a\u{202e}b"#)
    }

    private func filtered(_ bytes: [UInt8], piece: Int) -> String {
        var filter = ControlFilter()
        var out: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: piece) {
            out += filter.filter(bytes[start..<min(start + piece, bytes.count)])
        }
        return String(decoding: out, as: UTF8.self)
    }

    @Test(
        "Control sequences leave a log, text stays, however the bytes are cut",
        arguments: [
            ("a\r\nb\n", "a\nb\n"), ("10%\r20%\r\nend", "10%\n20%\nend"), ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "x"), ("\u{1b}]0;title\u{1b}\\x", "x"), ("\u{1b}P1$r\u{1b}\\x", "x"),
            ("\u{1b}(Bx\u{1b}=y\u{1b}cz", "xyz"), ("café 🐻", "café 🐻"), ("\u{9b}31mx", "31mx"), ("a\u{8}\u{0}b", "ab"),
            ("tab\there", "tab\there"), ("\u{1b}[31\nnext", "\nnext"), ("\u{1b}\u{1b}[1mx", "x"),
        ])
    func controlFilter(_ text: String, _ wanted: String) {
        for piece in [1, 2, 3, 1000] { #expect(filtered(Array(text.utf8), piece: piece) == wanted) }
    }

    @Test("A string sequence without end does not hide the rest of a log")
    func endlessString() {
        let bytes = Array("\u{1b}]".utf8) + [UInt8](repeating: 65, count: 10_000) + Array("tail".utf8)
        #expect(filtered(bytes, piece: 777).hasSuffix("tail"))
    }

    @Test("Malformed UTF-8 is left out")
    func malformed() {
        #expect(filtered([0xff, 0x41, 0xc3, 0x28, 0xe2, 0x82, 0x42, 0xf5, 0x80], piece: 1) == "A(B")
    }

    @Test(
        "Questions to the terminal leave a replay, everything else stays, however the bytes are cut",
        arguments: [
            ("root# \u{1b}[6n", "root# "), ("\u{1b}[31mred\u{1b}[0m\r\n", "\u{1b}[31mred\u{1b}[0m\r\n"),
            ("a\u{1b}[c\u{1b}[>0cb", "ab"), ("\u{1b}[?25h\u{1b}[2J", "\u{1b}[?25h\u{1b}[2J"),
            ("\u{1b}]11;?\u{7}x", "x"), ("\u{1b}]0;title\u{7}x", "\u{1b}]0;title\u{7}x"),
            ("\u{1b}P$qm\u{1b}\\x", "x"), ("\u{1b}[18tx", "x"), ("\u{1b}[?2026$px", "x"), ("\u{5}x", "x"),
            ("\u{1b}7\u{1b}8é", "\u{1b}7\u{1b}8é"), ("\u{1b}Zx", "x"),
            ("\u{1b}]8;;http://x\u{1b}\\y", "\u{1b}]8;;http://x\u{1b}\\y"),
        ])
    func queryFilter(_ text: String, _ wanted: String) {
        let bytes = Array(text.utf8)
        for piece in [1, 2, 5, 1000] {
            var filter = QueryFilter()
            var out: [UInt8] = []
            for start in stride(from: 0, to: bytes.count, by: piece) {
                out += filter.filter(bytes[start..<min(start + piece, bytes.count)])
            }
            #expect(String(decoding: out + filter.flush(), as: UTF8.self) == wanted)
        }
    }

    @Test("A sequence that never ends passes")
    func endlessQuery() {
        var filter = QueryFilter()
        let bytes = Array("\u{1b}[".utf8) + [UInt8](repeating: 0x31, count: 3000)
        #expect(filter.filter(bytes) + filter.flush() == bytes)
    }

    @Test func tablesAreAligned() {
        var table = Table("NAME", "STATE", "UP")
        table.add("web", "running", "3m")
        table.add("database", "failed", "panic\n")
        #expect(
            table.text(width: nil) == """
                NAME      STATE    UP
                web       running  3m
                database  failed   panic\\x0a

                """)
        #expect(table.text(width: 12).split(separator: "\n").allSatisfy { $0.count <= 12 })
    }

    @Test(
        "Spans are short",
        arguments: [
            (0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (7500, "2h 5m"), (90000, "1d 1h"),
            (-5, "0s"), (.infinity, "?"), (.nan, "?"), (1e300, "?"),
        ] as [(Double, String)])
    func spans(_ seconds: Double, _ text: String) { #expect(span(seconds) == text) }

    @Test func progressFitsItsWidth() {
        let progress = Progress("downloading \u{1b}debian.qcow2", done: 50 << 20, total: 200 << 20)
        for width in [20, 40, 80, 200] {
            let line = ProgressLine.text(progress, width: width, spinner: "-")
            #expect(line.count <= width)
            #expect(!line.contains("\u{1b}"))
        }
        #expect(ProgressLine.plain(progress).hasSuffix("50 MiB of 200 MiB (25 %)"))
        #expect(ProgressLine.plain(Progress("x", done: 9, total: 0)) == "x: 9 B")
        #expect(ProgressLine.plain(Progress("x", done: 20, total: 10)).hasSuffix("(100 %)"))
    }

    @Test("An error is one line; an example in its remedy follows")
    func errorLines() {
        let error = UrsaError(.usage, "a\nb", place: "c\u{1b}", remedy: "d\ne")
        #expect(Screen.lines(of: error) == [#"a b — c\x1b — d"#, "e"])
        let long = UrsaError(.usage, String(repeating: "x", count: 5000), place: "p", remedy: "r")
        #expect(Screen.lines(of: long).first?.hasSuffix("… (5000 bytes) — p — r") == true)
    }
}

@Suite struct ValueTests {
    @Test(
        "Time spans are read",
        arguments: [("30", 30), ("1.5", 1.5), ("90s", 90), ("5m", 300), ("2h", 7200), ("7d", 604_800)]
            as [(String, Double)])
    func timeSpans(_ text: String, _ seconds: Double) { #expect(TimeSpan(argument: text)?.value == seconds) }

    @Test(
        "What is no time span is refused",
        arguments: ["", "s", "-1", "1e3", "nan", "0x1", "1.2.3", "99999d", "1 h", "+1"])
    func wrongTimeSpans(_ text: String) { #expect(TimeSpan(argument: text) == nil) }

    @Test(
        "Moments are read as they are printed", arguments: [0, 951_782_400, 1_795_251_600, 4_102_444_799.5] as [Double])
    func moments(_ seconds: Double) { #expect(Moment.parse(timestamp(seconds)) == seconds) }

    @Test(
        "What is no moment is refused",
        arguments: [
            "2026-11-21", "2026-11-21T10:00:00", "2026-13-21T10:00:00Z", "2026-11-21T10:00:00.Z",
            "２０26-11-21T10:00:00Z",
        ])
    func wrongMoments(_ text: String) { #expect(Moment.parse(text) == nil) }

    @Test(
        "Detach keys are read",
        arguments: [("^]", 0x1d), ("^a", 1), ("ctrl-P", 16), ("C-\\", 0x1c), ("~", 0x7e)] as [(String, UInt8)])
    func detachKeys(_ text: String, _ byte: UInt8) { #expect(DetachKey(argument: text)?.byte == byte) }

    @Test func wrongDetachKeys() {
        #expect(DetachKey(argument: "none")?.byte == nil)
        for text in ["", "^", "^é", "ab", "^ab", "\u{1b}", " ", "ctrl-1"] {
            // A lone caret is a character like others.
            #expect((DetachKey(argument: text) == nil) == (text != "^"), "\(text)")
        }
    }

    @Test func escapes() throws {
        #expect(
            try Escapes.bytes(#"a\n\r\t\e\0\\\x7F\xff"#, option: "--send") == Array("a\n\r\t\u{1b}\0\\\u{7f}".utf8) + [
                255
            ])
        for text in ["\\", #"\q"#, #"\x1"#, #"\x+1"#, #"\xzz"#, #"a\xé"#] {
            #expect(throws: UrsaError.self) { try Escapes.bytes(text, option: "--send") }
        }
    }

    @Test func generatedNames() {
        #expect(GeneratedName.machine(image: "tiny", taken: []) == "tiny-1")
        #expect(GeneratedName.machine(image: "debian:12", taken: ["debian-1", "debian-3"]) == "debian-2")
        #expect(GeneratedName.machine(image: "./disks/My Disk_2.qcow2", taken: []) == "my-disk-2-1")
        #expect(GeneratedName.machine(image: "/../..", taken: []) == "machine-1")
        #expect(GeneratedName.machine(image: "9front", taken: []) == "m-9front-1")
        #expect(GeneratedName.machine(image: String(repeating: "x", count: 9999), taken: []).count <= 63)
        #expect(GeneratedName.base(url: "https://example.org/a/Debian-12.qcow2?x=/y") == "debian-12")
        #expect(GeneratedName.base(url: "https://example.org") == nil)
        #expect(GeneratedName.base(url: "nonsense") == nil)
    }
}
