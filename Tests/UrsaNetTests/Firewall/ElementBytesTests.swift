import Testing
import UrsaBase

@testable import UrsaNet

@Suite("elements of sets as bytes")
struct ElementBytesTests {
    private let ports = NamedSet(
        name: "behind4", key: "ifname . inet_proto . inet_service", value: "ipv4_addr . inet_service", elements: [])

    @Test("a concatenation is padded to registers, its numbers are in network order")
    func concatenation() throws {
        let bytes = try #require(ElementBytes("\"eth0\" . udp . 8080 : 10.77.0.10 . 53", of: ports))
        let name = Array("eth0".utf8) + [UInt8](repeating: 0, count: 12)
        #expect(bytes.key == name + [17, 0, 0, 0] + [0x1f, 0x90, 0, 0])
        #expect(bytes.value == .data([10, 77, 0, 10, 0, 53, 0, 0]))
    }

    @Test("a single value is not padded, a verdict keeps its chain")
    func single() throws {
        let links = NamedSet(name: "from", key: "ifname", value: "verdict", elements: [])
        let jump = try #require(ElementBytes("\"br0\" : jump from_kvm", of: links))
        #expect(jump.key.count == 16 && jump.value == .verdict(-3, "from_kvm"))
        let cards = NamedSet(name: "x", key: "ether_addr", elements: [])
        #expect(ElementBytes("52:54:00:00:00:01", of: cards)?.key == [0x52, 0x54, 0, 0, 0, 1])
    }

    @Test(
        "what is no plain element of the set's types is left to nft",
        arguments: [
            "\"eth0\" . udp . 8080", "\"eth0\" . sctp . 80 : 10.0.0.1 . 80", "\"eth*\" . tcp . 80 : 10.0.0.1 . 80",
            "\"eth0\" . tcp . http : 10.0.0.1 . 80", "\"eth0\" . tcp . 80 : 10.0.0.1",
            "\"\" . tcp . 80 : 10.0.0.1 . 80",
            "\"sixteen-letters-\" . tcp . 80 : 10.0.0.1 . 80", "\"eth0\" . tcp . 65536 : 10.0.0.1 . 80", "",
        ])
    func others(_ element: String) { #expect(ElementBytes(element, of: ports) == nil) }

    @Test("ranges are left to nft")
    func ranges() {
        let nets = NamedSet(name: "nets", key: "ipv4_addr", elements: [], isRange: true)
        #expect(ElementBytes("10.0.0.0/8", of: nets) == nil)
    }
}
