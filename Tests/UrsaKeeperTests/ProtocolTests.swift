import Glibc
import TestSupport
import Testing
import UrsaBase
import UrsaQMP

@testable import UrsaKeeper

@Suite
struct QMPSessionTests {
    private static let greeting =
        #"{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":"x"},"capabilities":["oob"]}}"# + "\n"

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private func value(_ messages: [QMPMessage], _ wanted: Int64) -> JSON? {
        for message in messages {
            if case .reply(let id, .success(let value)) = message, id == wanted { return value }
        }
        return nil
    }
    private func failure(_ messages: [QMPMessage], _ wanted: Int64) -> UrsaError? {
        for message in messages {
            if case .reply(let id, .failure(let error)) = message, id == wanted { return error }
        }
        return nil
    }
    private func event(_ message: QMPMessage) -> QMPEvent? {
        if case .event(let event) = message { return event }
        return nil
    }

    /// A session that was greeted and accepted.
    private func ready() throws -> QMPSession {
        var session = QMPSession()
        #expect(session.receive(bytes(Self.greeting)).isEmpty)
        #expect(try JSON.parse(session.takeOutput())["execute"] == "qmp_capabilities")
        for message in session.receive(bytes(#"{"return":{},"id":1}"# + "\n")) {
            if case .ready(let version) = message { #expect(version.description == "7.2.22") }
        }
        #expect(session.isReady)
        return session
    }

    @Test("commands given early go out after the negotiation, and answers find their command in any order")
    func answers() throws {
        var session = QMPSession()
        let early = try session.command("query-status")
        #expect(session.takeOutput().isEmpty)
        _ = session.receive(bytes(Self.greeting))
        _ = session.takeOutput()
        _ = session.receive(bytes(#"{"return":{},"id":2}"# + "\r\n"))
        let late = try session.command("query-name")
        let lines = String(decoding: session.takeOutput(), as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 2)
        let messages = session.receive(
            bytes(
                #"{"id":\#(late),"return":1}"# + "\n" + #"{"event":"STOP","timestamp":{"seconds":5,"microseconds":0}}"#
                    + "\n" + #"{"id":\#(early),"error":{"class":"CommandNotFound","desc":"no"}}"# + "\n"))
        #expect(messages.count == 3)
        #expect(value(messages, late) == 1)
        #expect(messages.compactMap(event) == [QMPEvent(name: "STOP", time: 5)])
        let refused = failure(messages, early)
        #expect(refused?.code == .unsupported && refused?.message == "the engine refused query-status: no")
    }

    @Test("a command without an answer fails in time, and its late answer is no harm")
    func deadline() throws {
        var session = try ready()
        let id = try session.command("slow", seconds: 0)
        #expect(failure(session.expire(), id)?.code == .timeout)
        #expect(session.receive(bytes(#"{"return":{},"id":\#(id)}"# + "\n")).isEmpty)
        #expect(session.isReady)
    }

    @Test(
        "what is no QMP ends the session with all that waits",
        arguments: [
            "garbage\n", "[1]\n", "{\"return\":{}\n", "\u{0}\n",
            String(repeating: "x", count: QMPSession.lineLimit + 1),
            String(repeating: "[", count: 100_000) + "\n",
        ])
    func garbage(text: String) throws {
        var session = try ready()
        let id = try session.command("query-status")
        let messages = session.receive(bytes(text))
        #expect(messages.count == 2 && failure(messages, id)?.code == .io)
        #expect(session.isLost && session.receive(bytes(text)).isEmpty && session.close().isEmpty)
        #expect(throws: UrsaError.self) { try session.command("query-status") }
    }

    @Test("a peer that answers without end what nobody asked is cut off, and so is a flood of commands")
    func floods() throws {
        var session = try ready()
        for _ in 0..<2000 { _ = session.receive(bytes(#"{"return":{},"id":"strange"}"# + "\n")) }
        #expect(session.isLost)
        session = try ready()
        for _ in 0..<QMPSession.commandLimit { _ = try session.command("x") }
        let error = #expect(throws: UrsaError.self) { try session.command("x") }
        #expect(error?.code == .conflict)
    }

    @Test("100,000 random steps never trap and never give a reply twice")
    func random() throws {
        var random = Seeded(20)
        let pieces = [
            Self.greeting, "{\"return\":{},\"id\":1}\n", "{", "}", "\n", "\r", "\"id\":", "\"event\":\"X\"", "[", "]",
            ",",
            "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-shutdown\"},\"timestamp\":{\"seconds\":-1}}\n",
            "{\"error\":{},\"id\":2}\n", "9223372036854775807", "1e999", "\\ud800", "\u{7f}", "true", "null",
        ]
        var session = QMPSession()
        var answered: Set<Int64> = []
        for step in 0..<100_000 {
            if session.isLost {
                session = QMPSession()
                answered = []
            }
            var messages: [QMPMessage] = []
            switch Int.random(in: 0..<12, using: &random) {
            case 0: _ = try? session.command("c\(step)", seconds: Double.random(in: 0...1e-4, using: &random))
            case 1: messages = session.expire()
            case 2: _ = session.takeOutput()
            case 3 where step % 50 == 0: messages = session.close()
            case 4:
                let noise = (0..<Int.random(in: 0..<40, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
                messages = session.receive(noise)
            case 5, 6, 7:
                let id = Int.random(in: 0..<80, using: &random)
                messages = session.receive(bytes("{\"return\":{},\"id\":\(id)}\n"))
            default: messages = session.receive(bytes(pieces[Int.random(in: 0..<pieces.count, using: &random)]))
            }
            for message in messages {
                if case .reply(let id, _) = message, !answered.insert(id).inserted { Issue.record("two replies") }
            }
        }
    }
}

@Suite
struct KeeperFormatTests {
    private var launch: KeeperLaunch {
        KeeperLaunch(
            machine: "id", name: "a \"b\", c", program: "/usr/bin/qemu", arguments: ["-x", "ü\n"],
            user: .init(uid: 64055, gid: 64055, groups: [4_294_967_294]),
            files: [.init(fd: 20, path: "/a", isWritable: true), .init(fd: 21, path: "/b", isWritable: false)],
            inherited: [30, 31],
            sockets: [.init(name: "e", fd: 10, purpose: .monitor), .init(name: "c", fd: 11, purpose: .console)],
            restart: .onFailure(limit: 5), pace: .init(first: 1, longest: 2, steady: 3), stopTimeout: 7,
            startTimeout: 2.5, settle: ["/bin/true", "x"], eventsPath: "/e")
    }

    @Test("a launch is read back as it was written")
    func launchRoundTrip() throws {
        #expect(try KeeperLaunch(json: JSON.parse(launch.json.pretty)) == launch)
        for policy in [KeeperLaunch.Restart.never, .always, .onFailure(limit: nil), .onFailure(limit: 0)] {
            #expect(try KeeperLaunch.Restart(text: policy.text) == policy)
        }
    }

    @Test("a launch that can't work is refused with all that is wrong")
    func invalidLaunch() throws {
        var wrong = launch
        wrong.files[0].fd = 3
        wrong.inherited = [10]
        wrong.sockets[1].name = "../x"
        wrong.program = "qemu"
        wrong.stopTimeout = -1
        let error = #expect(throws: UrsaError.self) { try wrong.validate() }
        #expect(error?.flattened.count == 5)
    }

    @Test("a status is read back as it was written, and the words of ends fit what happened")
    func statusRoundTrip() throws {
        var status = MachineStatus(machine: "id", name: "n")
        status.engine = .current
        status.started = 1.5
        status.reason = "r\u{1b}"
        status.exit = .signalled(9)
        status.failed = true
        #expect(try MachineStatus(json: JSON.parse(status.json.pretty)) == status)

        var end = EngineEnd(engine: "QEMU")
        end.exit = .exited(1)
        end.lastWords = "no such device"
        #expect(end.reason == "QEMU refused to start: no such device" && end.isFailure)
        end.hasRun = true
        #expect(end.reason == "QEMU exited with status 1: no such device" && end.isFailure)
        end.exit = nil
        end.lastWords = nil
        #expect(end.reason == "QEMU ended while no keeper saw it, so why is unknown" && end.isFailure)
        end.exit = .exited(0)
        end.shutdownCause = "host-signal"
        #expect(end.reason == "QEMU was told to end by a signal" && !end.isFailure)
        end.request = .impatient(seconds: 30)
        #expect(end.reason == "killed: did not react to the power button for 30 s" && !end.isFailure)
    }

    @Test("50,000 mutated launch and status files never trap")
    func random() throws {
        var random = Seeded(7)
        let originals = [launch.json.line, MachineStatus(machine: "i", name: "n").json.line]
        for round in 0..<50_000 {
            var bytes = originals[round % 2]
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                default: bytes.insert(UInt8(ascii: "9"), at: place)
                }
            }
            guard let json = try? JSON.parse(bytes) else { continue }
            _ = try? KeeperLaunch(json: json)
            _ = try? MachineStatus(json: json).judged()
        }
    }
}
