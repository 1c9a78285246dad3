import Glibc
import TestSupport
import Testing
import UrsaBase

/// Every example is run as it stands, and what its model promises is tried with packets.
@Suite(.enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"), .timeLimit(.minutes(20)))
struct ExamplesTests {
    @Test func nat() throws {
        let example = try Example("nat")
        try example.addLAN()
        try example.up()
        // Outside by the host's address, in by the published port, by name from the host and from a neighbour.
        #expect(try example.machine("web", "wget -qO- http://192.0.2.1/cgi-bin/who").contains("saw 192.0.2.2"))
        #expect(try example.machine("web", "wget -qO- http://db/").contains("db"))
        #expect(try example.fetch("http://192.0.2.2:8080/", from: "w-router")?.contains("web") == true)
        #expect(try example.fetch("http://127.0.0.1:8080/")?.contains("web") == true)
        #expect(try example.fetch("http://db.lab.ursa.internal/")?.contains("db") == true)
        try example.down()
    }

    @Test func user() throws {
        let example = try Example("user")
        try example.addLAN()
        try example.up()
        #expect(try example.fetch("http://127.0.0.1:8080/")?.contains("web") == true)
        #expect(try example.machine("web", "wget -qO- http://192.0.2.1/cgi-bin/who").contains("saw 192.0.2.2"))
        try example.down()
    }
}
