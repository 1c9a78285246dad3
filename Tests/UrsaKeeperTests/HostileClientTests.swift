import Glibc
import Testing
import UrsaBase
import UrsaQMP

@testable import UrsaKeeper

@Suite(.enabled(if: qemu != nil, "qemu-system-x86_64 is not installed"))
struct HostileClientTests {
    private func connect(_ machine: TestMachine) throws(UrsaError) -> OwnedFD {
        try UnixSocket.connect(machine.folder + "/" + MachineFiles.keeperSocket)
    }

    @Test("garbage, endless lines and unknown commands are answered with an error, and the next client is served")
    func garbage() throws {
        let machine = try TestMachine("garbage")
        try machine.start()
        for text in ["garbage\n", "[]\n", "{\"command\":7}\n", "{\"command\":\"stop\",\"seconds\":-1}\n", "\u{0}\n"] {
            let socket = try connect(machine)
            try socket.writeAll(Array(text.utf8), to: "the keeper")
            #expect(readUntil(socket, "\n").hasPrefix("{\"error\":"))
        }
        let long = try connect(machine)
        try? sendAll(long.raw, [UInt8](repeating: 120, count: 200_000), to: "the keeper", until: .after(seconds: 2))
        #expect(try machine.client().status().state == .running)
        #expect(try !machine.client().qmp("query-status").text.isEmpty)
        let error = #expect(throws: UrsaError.self) { try machine.client().qmp("no-such-command") }
        #expect(error?.code == .unsupported)
    }

    @Test("requests sent in one piece are answered one after the other")
    func pipelined() throws {
        let machine = try TestMachine("pipeline")
        try machine.start()
        let socket = try connect(machine)
        let request = Array("{\"command\":\"qmp\",\"execute\":\"query-name\"}\n{\"command\":\"x\"}\n".utf8)
        for _ in 0..<50 { try socket.writeAll(request, to: "the keeper") }
        try retrying("close the sending half") { shutdown(socket.raw, Int32(SHUT_WR)) }
        let text = readUntil(socket, "never")
        let answers = text.split(separator: "\n")
        #expect(answers.count == 100)
        #expect(answers.enumerated().allSatisfy { $1.hasPrefix($0 % 2 == 0 ? "{\"ok\"" : "{\"error\"") })
    }

    @Test("a thousand clients that say nothing, and one that never reads, keep nobody out")
    func crowd() throws {
        let machine = try TestMachine("crowd")
        let status = try machine.start()
        var crowd: [SharedFD] = []
        for _ in 0..<1000 {
            if let fd = try? connect(machine) { crowd.append(SharedFD(fd)) }
        }
        let deaf = try connect(machine)
        try deaf.setNonBlocking()
        let request = Array("{\"command\":\"qmp\",\"execute\":\"query-qmp-schema\"}\n".utf8)
        for _ in 0..<100 { _ = sendSome(deaf.raw, request[...]) }
        for _ in 0..<20 { #expect(try machine.client().status().state == .running) }
        let open = File.list("/proc/\(status.keeper?.pid ?? 0)/fd").count
        #expect(open < KeeperServer.clientLimit + 32)
        #expect(crowd.count == 1000)
        #expect(try machine.client().kill().state == .ended)
    }

    @Test("a client that waits and goes away costs no processor time")
    func goneWaiter() throws {
        let machine = try TestMachine("goner")
        let status = try machine.start()
        do {
            let socket = try connect(machine)
            try socket.writeAll(Array("{\"command\":\"wait\"}\n".utf8), to: "the keeper")
            pause(milliseconds: 50)
        }
        func ticks() -> Int {
            let stat = File.peek("/proc/\(status.keeper?.pid ?? 0)/stat") ?? ""
            let fields = stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].split(separator: " ")
            return fields.count > 13 ? (Int(fields[12]) ?? 0) + (Int(fields[13]) ?? 0) : 0
        }
        pause(milliseconds: 100)
        let before = ticks()
        pause(milliseconds: 500)
        #expect(ticks() - before < 10)
    }

    @Test("a people's QMP socket speaks with any QMP client")
    func peopleSocket() throws {
        let machine = try TestMachine("people")
        try machine.start()
        let qmp = try QMPClient(machine.folder + "/qmp.sock")
        #expect(qmp.version?.major ?? 0 >= 7)
        #expect(try qmp.execute("query-status")["status"]?.string == "running")
        try qmp.execute("stop")
        #expect(try qmp.nextEvent(seconds: 5)?.name == "STOP")
        #expect(try eventually { try machine.status().state == .paused })
        try qmp.execute("quit")
        #expect(try eventually { try machine.status().reason == "ended through its monitor (quit)" })
        // What came before the end is still handed out; then the loss is an error, not a wait.
        let error = #expect(throws: UrsaError.self) {
            for _ in 0..<100 { _ = try qmp.nextEvent(seconds: 5) }
        }
        #expect(error?.code == .io)
    }

    @Test(
        "Python's qemu.qmp runs a command on qmp.sock",
        .enabled(if: pythonWithQMP != nil, "scripts/python-peers says why there is no qemu.qmp"))
    func pythonClient() throws {
        let machine = try TestMachine("python")
        try machine.start()
        let script = """
            import asyncio, sys
            from qemu.qmp import QMPClient
            async def main():
                client = QMPClient('ursa-test')
                await client.connect(sys.argv[1])
                print((await client.execute('query-status'))['status'])
                await client.disconnect()
            asyncio.run(main())
            """
        let python = try #require(pythonWithQMP)
        let output = try Program(python, ["-c", script, machine.folder + "/qmp.sock"]).require("run qemu.qmp")
        #expect(output.trimmed == "running")
    }
}

/// A Python that can import the package.
private let pythonWithQMP: String? = {
    let root = Path.parent(Path.parent(Path.parent(#filePath)))
    let result = try? Program(root + "/scripts/python-peers", []).run(seconds: 180)
    return result?.end.isSuccess == true ? result?.text.trimmed : nil
}()
