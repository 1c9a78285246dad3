import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("capturing frames", .enabled(if: PrivateHost.isPossible, "needs root for packet sockets"))
struct CaptureTests {
    @Test("tcpdump reads what was captured, each frame of the network once, with the links' names")
    func tcpdump() throws {
        try PrivateHost.run { host in
            try host.networks.converge([labWish()])
            try host.addLabGuests()
            let file = "\(host.folder)/lab.pcapng"
            let writer = Locked((PcapngWriter(), PcapngWriter.start(application: "ursa")))
            let target = CaptureTarget(network: "lab", choice: .network, labels: ["web": "web/0"])
            let ready = Locked(false)
            let pinger = try OSThread {
                while !ready.withLock({ $0 }) { pause(milliseconds: 2) }
                _ = try? host.sh("ping -c 3 -i 0.05 10.77.0.11", in: "web")
                _ = try? host.sh("ping -c 2 -i 0.05 10.77.0.1", in: "web")
            }
            let counts = try host.networks.capture([target], seconds: 1.5, ready: { ready.withLock { $0 = true } }) {
                (link: String, frame: CapturedFrame) throws(UrsaError) -> Bool in
                writer.withLock { state in
                    let (number, block) = state.0.link(link)
                    state.1 += block + PcapngWriter.frame(frame, link: number)
                }
                return true
            }
            pinger.join()
            var content = writer.withLock { $0.1 }
            for (index, count) in counts.enumerated() {
                content += PcapngWriter.statistics(link: index, time: 0, seen: count.seen, lost: count.lost)
            }
            try File.replace(file, content)
            #expect(counts.allSatisfy { $0.lost == 0 })
            #expect(counts.map(\.link).contains("web/0"))
            guard Path.program("tcpdump") != nil else { return }
            let told = try Program("tcpdump", ["-nr", file]).run()
            let lines = told.text.split(separator: "\n")
            #expect(lines.count { $0.contains("10.77.0.10 > 10.77.0.11: ICMP echo request") } == 3, "\(told.text)")
            #expect(lines.count { $0.contains("10.77.0.11 > 10.77.0.10: ICMP echo reply") } == 3)
            #expect(lines.count { $0.contains("10.77.0.1 > 10.77.0.10: ICMP echo reply") } == 2)
        }
    }

    @Test("a machine's own link shows both directions, and the decoder tells them")
    func machine() throws {
        try PrivateHost.run { host in
            try host.networks.converge([labWish()])
            try host.addLabGuests()
            let lines = Locked<[String]>([])
            let ready = Locked(false)
            let pinger = try OSThread {
                while !ready.withLock({ $0 }) { pause(milliseconds: 2) }
                _ = try? host.sh("ping -c 1 10.77.0.11", in: "web")
            }
            let target = CaptureTarget(network: "lab", choice: .links(["web"]))
            _ = try host.networks.capture([target], seconds: 5, ready: { ready.withLock { $0 = true } }) {
                (_, frame: CapturedFrame) throws(UrsaError) -> Bool in
                let words = FrameText.line(frame)
                return lines.withLock {
                    if words.contains("echo") {
                        $0.append("\(frame.isOutgoing ? "to" : "from") \(words.split(separator: " id")[0])")
                    }
                    return $0.count < 2
                }
            }
            pinger.join()
            #expect(
                lines.withLock { $0 } == [
                    "from ICMP 10.77.0.10 > 10.77.0.11 echo request", "to ICMP 10.77.0.11 > 10.77.0.10 echo reply",
                ])
        }
    }
}

@Suite("impairing what machines receive", .enabled(if: PrivateHost.isPossible, "needs root for network namespaces"))
struct ImpairTests {
    /// Frames of `count` that arrive when sent from the host to a guest as fast as they go.
    private func arrived(_ host: PrivateHost, _ count: Int) throws -> Int {
        let text = try host.attempt("ping -q -f -c \(count) -W 1 10.77.0.10").text
        // "1000 packets transmitted, 903 received, …"
        let word = text.split(separator: ",").first { $0.contains("received") }?.split(separator: " ").first
        return try required(word.flatMap { Int($0) })
    }

    @Test("10 % of loss loses 10 ± 2 %, is told, and goes")
    func loss() throws {
        try PrivateHost.run { host in
            try host.networks.converge([labWish()])
            try host.addLabGuests()
            #expect(try arrived(host, 500) == 500)
            try host.networks.impair(network: "lab", tap: "web", Impairment(loss: 1000))
            #expect(try host.networks.impairments(network: "lab") == ["web": Impairment(loss: 1000)])
            let count = 6000
            let lost = 100 - Double(try arrived(host, count)) * 100 / Double(count)
            #expect((8...12).contains(lost), "\(lost) % were lost")
            // The other machine is not touched.
            #expect(try host.sh("ping -q -f -c 300 -W 1 10.77.0.11").contains(" 300 received"))
            try host.networks.impair(network: "lab", tap: "web", nil)
            #expect(try host.networks.impairments(network: "lab") == [:])
            #expect(try arrived(host, 500) == 500)
        }
    }

    /// The milliseconds from the first ping to the last that ping(8) tells: `…, time 1131ms`.
    private func duration(_ text: String) throws -> Int {
        let line = text.split(separator: "\n").first { $0.contains("packet loss, time ") }
        let word = line?.split(separator: " ").last
        return try required(word.flatMap { Int($0.dropLast(2)) })
    }

    @Test("a rate holds for the whole network, a machine's own setting goes before it")
    func rate() throws {
        try PrivateHost.run { host in
            try host.networks.converge([labWish()])
            try host.addLabGuests()
            try host.networks.impair(network: "lab", tap: nil, Impairment(rate: 250_000))
            try host.networks.impair(network: "lab", tap: "db", Impairment(loss: 1))
            #expect(
                try host.networks.impairments(network: "lab") == [
                    "*": Impairment(rate: 250_000), "db": Impairment(loss: 1),
                ])
            // 200 frames of 1,442 bytes at 250 kB/s take 1.15 s, and the pings wait for their answers.
            let limited = try host.sh("ping -q -i 0.002 -c 200 -s 1400 -W 3 10.77.0.10")
            let free = try host.sh("ping -q -i 0.002 -c 200 -s 1400 -W 3 10.77.0.11")
            let (slow, fast) = (try duration(limited), try duration(free))
            #expect((1000...1600).contains(slow), "\(limited)")
            // Its own setting may lose a frame.
            let isWhole = free.contains(" 200 received") || free.contains(" 199 received")
            #expect(fast < slow && isWhole, "\(free)")
            // The settings go with the network.
            try host.networks.converge([])
            #expect(try host.networks.impairments(network: "lab") == [:])
            #expect(try host.leftovers() == [])
        }
    }

    @Test("a delay needs a kernel with netem, and says so where there is none")
    func delay() throws {
        try PrivateHost.run { host in
            try host.networks.converge([labWish()])
            try host.addLabGuests()
            let hasNetem = try host.attempt("tc qdisc add dev lo root netem delay 1ms").end.isSuccess
            do throws(UrsaError) {
                try host.networks.impair(network: "lab", tap: "web", Impairment(delay: 50))
                #expect(hasNetem)
                let text = try? host.sh("ping -c 3 -i 0.1 10.77.0.10")
                #expect(text?.contains("time=5") == true, "\(text ?? "no answer")")
                try host.networks.impair(network: "lab", tap: "web", nil)
            } catch {
                #expect(!hasNetem && error.code == .unsupported && error.message.contains("netem"))
            }
            #expect(try host.networks.impairments(network: "lab") == [:])
        }
    }

    @Test("only ports of the network can be impaired")
    func strangers() throws {
        try PrivateHost.run { host in
            try host.networks.converge([labWish()])
            #expect(throws: UrsaError.self) {
                try host.networks.impair(network: "lab", tap: "nobody", Impairment(loss: 1))
            }
            #expect(throws: UrsaError.self) { try host.networks.impair(network: "none", tap: nil, Impairment(loss: 1)) }
        }
    }

    @Test("what is kept in the kernel reads back as the same")
    func marks() {
        for impairment in [
            Impairment(), Impairment(loss: 10_000), Impairment(loss: 5, delay: 3, jitter: 1, rate: 1),
        ] {
            #expect(Impairment(mark: impairment.mark[...]) == impairment)
        }
        #expect(Impairment(mark: "loss=x") == nil && Impairment(mark: "other=1") == nil)
        #expect(
            Impairment(loss: 1050, delay: 5, rate: 1_250_000).description == "loss 10.5 %, delay 5 ms, rate 10 Mbit/s")
    }
}
