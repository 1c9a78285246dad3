import Glibc
import TestSupport
import Testing
import UrsaBase

/// What no engine of this host can run.
@Suite(.enabled(if: Can.guests, "needs root, QEMU, dnsmasq and nft"), .timeLimit(.minutes(120)))
struct RefusalTests {
    @Test func `a machine that no engine can run is refused before a network is made for it`() throws {
        let host = try PrivateHost(
            spec: """
                networks: { lab: { nat: {} } }
                machines: { web: { image: tiny, memory: 128M, networks: [lab], engine: native, accelerator: tcg } }
                """)
        let refused = try host.ursa("up", "-f", host.folder + "/ursa.yaml")
        #expect(!refused.end.isSuccess)
        #expect(refused.errors.contains("the native engine has no emulation"), "\(refused.errors)")
        #expect(!(refused.text + refused.errors).contains("network lab"), "\(refused.text)\(refused.errors)")
        #expect(try host.ursaOK("ps", "-a", "--json") == "[]\n")
        #expect(try host.leftovers() == [])
    }
}
