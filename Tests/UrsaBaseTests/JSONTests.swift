import Testing
import UrsaBase

@Suite("JSON")
struct JSONTests {
    @Test(
        "values read and write",
        arguments: [
            ("null", JSON.null), ("true", true), (" false\n", false), ("0", 0), ("-0", 0), ("-12", -12),
            ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
            ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("1.5", .number(1.5)), ("1e3", .number(1000)),
            ("-1.5E-2", .number(-0.015)), ("\"\"", ""), ("\"a\\n\\t\\\"\\\\\\/\\b\\f\\r\"", "a\n\t\"\\/\u{8}\u{c}\r"),
            ("\"\\u0041\\u00e9\\ud83d\\udc3b\"", "Aé🐻"), ("\"\u{7f}é🐻\"", "\u{7f}é🐻"), ("[]", []),
            ("[1, [2]]", [1, [2]]), ("{}", [:]),
            ("{\"a\": {\"b\": null}, \"\": 1}", ["a": ["b": .null], "": 1]),
        ] as [(String, JSON)])
    func values(_ text: String, _ expected: JSON) throws {
        let value = try JSON.parse(text)
        #expect(value == expected)
        #expect(try JSON.parse(value.text) == value)
        #expect(try JSON.parse(value.pretty) == value)
        #expect(try JSON.parse(value.line) == value)
    }

    @Test(
        "malformed texts are refused",
        arguments: [
            "", " ", "nul", "nulll", "True", "+1", "01", "-", "-01", ".5", "1.", "1e", "1e+", "0x10", "1_000", "NaN",
            "Infinity", "-Infinity", "1e400", "-1e999", "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"",
            "\"\\ud800\"", "\"\\udc00\"",
            "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"", "\"a\nb\"", "\"\u{0}\"", "'a'", "[", "]", "[1", "[1,", "[1,]",
            "[,1]", "[1 2]", "{",
            "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":1,\"a\":2}", "1 2", "{} {}", "[]]", "// a\n1", "1\u{0}", "\u{feff}1", "\"\\U0041\"",
        ])
    func malformed(_ text: String) {
        let found = error { () throws(UrsaError) in _ = try JSON.parse(text) }
        #expect(found?.code == .io)
        #expect(found?.place?.hasPrefix("byte ") == true)
    }

    @Test(
        "texts that are not UTF-8 are refused",
        arguments: [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xc0, 0xaf], [0xf5, 0x80, 0x80, 0x80]])
    func notUTF8(_ bytes: [Int]) {
        #expect(throws: UrsaError.self) { try JSON.parse([34] + bytes.map(UInt8.init) + [34]) }
    }

    @Test("depth is bounded, however deep a stranger nests")
    func depth() throws {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let fine = String(repeating: open, count: 63) + "1" + String(repeating: close, count: 63)
            #expect(throws: Never.self) { try JSON.parse(fine) }
            #expect(throws: UrsaError.self) { try JSON.parse(open + fine + close) }
            #expect(throws: UrsaError.self) { try JSON.parse(String(repeating: open, count: 1_000_000)) }
        }
    }

    @Test("cutting or changing a text anywhere never crashes")
    func mutations() throws {
        let text = #"{"execute": "a\u00e9\ud83d\udc3b", "n": [-1.5e3, 0, true, null, {"x": "\\\""}], "z": {}}"#
        let bytes = Array(text.utf8)
        for index in bytes.indices {
            _ = try? JSON.parse(Array(bytes[..<index]))
            for byte in [0, 34, 44, 91, 92, 123, 125, 128, 255] as [UInt8] {
                var changed = bytes
                changed[index] = byte
                if let value = try? JSON.parse(changed) { #expect(try JSON.parse(value.text) == value) }
            }
        }
    }

    @Test("members are found by name, in order, and left out when nil")
    func members() {
        let value = JSON.record(["a": 1, "b": nil, "c": "x"])
        #expect(value.text == #"{"a":1,"c":"x"}"#)
        #expect(value["a"]?.integer == 1)
        #expect(value["b"] == nil)
        #expect(value["c"]?.string == "x")
        #expect(value["c"]?["d"] == nil)
        #expect(JSON.number(.infinity).text == "null")
        #expect(JSON.string("\u{1}\u{7f}").text == #""\u0001\u007f""#)
    }
}
