import Testing
import UrsaFirewall

@Suite struct FirewallTests {
    @Test func `a firewall of which nothing is said is plain`() {
        #expect(Firewall().isPlain)
        #expect(!Firewall(policies: [Policy(from: "any", to: "any", action: .reject)]).isPlain)
    }
}
