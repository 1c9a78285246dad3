import Testing

@testable import UrsaBase

@Suite("Addresses")
struct AddressTests {
    @Test(
        "IPv4 addresses",
        arguments: [("0.0.0.0", 0), ("10.77.0.1", 0x0a4d_0001), ("255.255.255.255", 0xffff_ffff)] as [(String, UInt32)])
    func v4(_ text: String, _ value: UInt32) {
        #expect(IPv4Address(text)?.value == value)
        #expect(IPv4Address(value).description == text)
    }

    @Test(
        "what is no IPv4 address",
        arguments: [
            "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "256.1.1.1", "01.2.3.4", "1.2.3.04", "1.2.3.-4",
            "1.2.3.+4", "1.2.3.4 ", "0x1.2.3.4", "1.2.3.٤", "1.2.3.4/8", "1.2.3.1000",
        ])
    func notV4(_ text: String) { #expect(IPv4Address(text) == nil) }

    @Test(
        "IPv6 addresses print as RFC 5952 says",
        arguments: [
            ("::", "::"), ("::1", "::1"), ("FD00:0:0:0:0:0:0:1", "fd00::1"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        ])
    func v6(_ text: String, _ printed: String) {
        let address = IPv6Address(text)
        #expect(address?.description == printed)
        #expect(address.flatMap { IPv6Address(bytes: $0.bytes) } == address)
    }

    @Test(
        "what is no IPv6 address",
        arguments: [
            "", ":", ":::", "1::2::3", "12345::", "g::", "::1%eth0", "::1\0", "[::1]", "1:2:3:4:5:6:7", "1.2.3.4",
        ])
    func notV6(_ text: String) { #expect(IPv6Address(text) == nil) }

    @Test("IPv4 subnets know their bounds")
    func subnet() throws {
        let subnet = try #require(IPv4Network("10.77.0.0/29"))
        #expect(subnet.netmask.description == "255.255.255.248")
        #expect(subnet.broadcast.description == "10.77.0.7")
        #expect(subnet.count == 8)
        #expect(subnet[7] == subnet.broadcast)
        #expect(subnet.contains(IPv4Address(0x0a4d_0007)))
        #expect(!subnet.contains(IPv4Address(0x0a4d_0008)))
        let all = try #require(IPv4Network("0.0.0.0/0"))
        #expect(all.count == 1 << 32)
        #expect(all.contains(IPv4Address(.max)))
        #expect(all.overlaps(subnet))
        #expect(subnet.overlaps(all))
        let host = try #require(IPv4Network("255.255.255.255/32"))
        #expect(host.broadcast == host.address)
        #expect(!host.overlaps(subnet))
    }

    @Test(
        "what is no subnet",
        arguments: [
            "10.0.0.1/24", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8",
            "10.0.0.0/0008", "/8", "fd00::/129", "fd00::1/64", "fd00::", "fd00::/x",
        ])
    func notSubnet(_ text: String) {
        #expect(IPv4Network(text) == nil)
        #expect(IPv6Network(text) == nil)
    }

    @Test("IPv6 subnets of every prefix hold themselves", arguments: [0, 1, 8, 63, 64, 65, 127, 128])
    func subnet6(_ prefix: Int) throws {
        let network = IPv6Network(IPv6Address(high: .max, low: .max), prefix: prefix)
        #expect(network.contains(IPv6Address(high: .max, low: .max)))
        #expect(IPv6Network(network.description) == network)
        #expect(network.contains(IPv6Address(high: 0, low: 0)) == (prefix == 0))
    }

    @Test("Ethernet addresses")
    func mac() {
        #expect(MACAddress("52:54:00:aB:Cd:eF")?.description == "52:54:00:ab:cd:ef")
        #expect(MACAddress("01:00:5e:00:00:01")?.isMulticast == true)
        for text in [
            "", "52:54:00:12:34", "52:54:00:12:34:56:78", "52-54-00-12-34-56", "52:54:00:12:34:5g", "52:54:00:12:34:+5",
            "525400123456", "52:54:00:12:34:５６",
        ] {
            #expect(MACAddress(text) == nil, "\(text)")
        }
    }
}

@Suite("Sizes, digests and near misses")
struct ValueTests {
    @Test(
        "sizes",
        arguments: [
            ("0", 0), ("4096", 4096), ("1K", 1024), ("512M", 512 << 20), ("512 MiB", 512 << 20), ("8gb", 8 << 30),
            ("2T", 2 << 40), ("7B", 7), ("9223372036854775807", UInt64(Int64.max)),
        ] as [(String, UInt64)])
    func size(_ text: String, _ bytes: UInt64) {
        #expect(ByteCount(text)?.bytes == bytes)
        #expect(ByteCount(ByteCount(bytes).description)?.bytes == bytes)
    }

    @Test(
        "what is no size",
        arguments: [
            "", "M", "-1", "+1", "1.5G", "1P", "1KM", "1 2", "0x10", "9223372036854775808", "99999999999999999999",
            "8388608T", "16777216T", "٣", "1,000",
        ])
    func notSize(_ text: String) { #expect(ByteCount(text) == nil) }

    @Test(
        "sizes for people",
        arguments: [
            (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (10 << 20, "10 MiB"),
            (UInt64.max, "16777215 TiB"),
        ] as [(UInt64, String)])
    func rounded(_ bytes: UInt64, _ text: String) { #expect(ByteCount(bytes).rounded == text) }

    /// FIPS 180-4 examples and NIST CAVP SHA256ShortMsg/LongMsg.
    @Test(
        "SHA-256 gives the published digests",
        arguments: [
            ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
            ("a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ])
    func sha256(_ text: String, _ times: Int, _ digest: String) {
        #expect(hexadecimal(SHA256.digest(String(repeating: text, count: times))) == digest)
    }

    @Test("SHA-256 does not depend on how the message is cut")
    func sha256Pieces() {
        let message = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        for length in [0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 300] {
            let whole = SHA256.digest(Array(message[..<length]))
            for piece in [1, 3, 63, 64, 65] {
                var hash = SHA256()
                for start in stride(from: 0, to: length, by: piece) {
                    hash.update(message[start..<min(start + piece, length)])
                }
                #expect(hash.finish() == whole, "\(length) bytes by \(piece)")
            }
        }
    }

    @Test(
        "near misses are found, far ones are not",
        arguments: [
            ("memroy", "memory"), ("cpu", "cpus"), ("Memory", "memory"), ("bakend", "backend"), ("xyz", nil), ("", nil),
            ("m", nil),
        ])
    func near(_ word: String, _ expected: String?) {
        #expect(nearMiss(word, among: ["memory", "cpus", "backend"]) == expected)
    }

    @Test("near misses of long words cost nothing")
    func nearLong() {
        #expect(nearMiss(String(repeating: "a", count: 1 << 20), among: ["a"]) == nil)
        #expect(nearMiss("a", among: ["", "ab"]) == "")
    }

    @Test("errors print what, where and what to do, and say all at once")
    func errors() {
        let first = UrsaError(.invalidSpec, "wrong", place: "f:1:2", remedy: "mend it")
        let all = UrsaError.all([first, UrsaError(.usage, "second")])
        #expect(all?.description == "wrong — f:1:2 — mend it\nsecond")
        #expect(all?.flattened.count == 2)
        #expect(UrsaError.all([]) == nil)
        let more = UrsaError.all([all, UrsaError(.usage, "third")].compactMap(\.self))
        #expect(more?.flattened.map(\.message) == ["wrong", "second", "third"])
        #expect(first.at("elsewhere").place == "f:1:2")
        #expect(UrsaError.Code.notFound.exitStatus == 3)
        #expect(UrsaError.Code.invalidSpec.exitStatus == 2)
        #expect(UrsaError.Code.io.exitStatus == 1)
    }

    @Test(
        "times print as RFC 3339, whatever the number",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (1_700_000_000.25, "2023-11-14T22:13:20.250Z"),
            (-1.5, "1970-01-01T00:00:00.000Z"), (.nan, "1970-01-01T00:00:00.000Z"),
            (.infinity, "9999-12-31T23:59:59.000Z"), (1e300, "9999-12-31T23:59:59.000Z"),
        ] as [(Double, String)])
    func timestamps(_ seconds: Double, _ text: String) { #expect(timestamp(seconds) == text) }

    @Test("written times are read back to the millisecond, other texts are none")
    func timestampsBack() {
        for thousandths in 0..<1000 {
            let time = 1_795_231_755 + Double(thousandths) / 1000
            #expect(seconds(ofTimestamp: timestamp(time)) == time)
        }
        let wrong = [
            "", "2026-02-30T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-01-01T24:00:00.000Z",
            "2026-01-01 00:00:00.000Z",
            "2026-01-01T00:00:00.000z", "+026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.0000Z",
            "1969-12-31T23:59:59.000Z",
        ]
        for text in wrong { #expect(seconds(ofTimestamp: text) == nil, "\(text)") }
    }

    @Test("deadlines take any number of seconds")
    func deadlines() {
        #expect(Deadline.after(seconds: -1).isPast)
        #expect(Deadline.after(seconds: .nan).isPast)
        #expect(!Deadline.after(seconds: .infinity).isPast)
        #expect(Deadline.after(seconds: 1e300).millisecondsLeft > 0)
        #expect(Deadline.now.millisecondsLeft == 0)
    }
}
