import Glibc
import Testing
import UrsaBase
import UrsaQMP

@testable import UrsaKeeper

@Suite(.enabled(if: qemu != nil, "qemu-system-x86_64 is not installed"))
struct MachineLifeTests {
    @Test("the console holds the machine's output from its first byte, and typing reaches the guest")
    func consoleFromFirstByte() throws {
        let machine = try TestMachine("first")
        let status = try machine.start()
        #expect(status.state == .running)
        #expect(status.isAlive && status.isKept && !status.isOrphan)
        let console = try machine.client().console()
        #expect(readUntil(console, "FIRST\r\n").hasPrefix("FIRST\r\n"))
        try console.writeAll(Array("hello".utf8), to: "the console")
        #expect(readUntil(console, "hello").hasSuffix("hello"))
    }

    @Test("the power button ends a guest that listens, and the reason says so")
    func powerButton() throws {
        let machine = try TestMachine("button")
        try machine.start()
        let console = try machine.client().console(.readOnly)
        _ = readUntil(console, "FIRST\r\n")
        pause(milliseconds: 50)
        var words: [String] = []
        let end = try machine.client().stop(seconds: 20) { words.append($0) }
        #expect(end.state == .ended && !end.isAlive && !end.failed)
        #expect(end.reason == "stopped by the power button")
        #expect(end.exit == .exited(0))
        #expect(words.first == "pressing the power button")
        #expect(try machine.status() == end)
    }

    @Test("a guest that is deaf to the power button is ended when its time is over")
    func deafGuest() throws {
        let machine = try TestMachine("deaf")
        try machine.start()
        let console = try machine.client().console()
        _ = readUntil(console, "FIRST\r\n")
        try console.writeAll(Array("d".utf8), to: "the console")
        #expect(readUntil(console, "D").contains("D"))
        let end = try machine.client().stop(seconds: 1)
        #expect(end.reason == "killed: did not react to the power button for 1 s")
    }

    @Test("a guest that powers off by itself has ended, and nobody calls it a failure")
    func guestPowersOff() throws {
        let machine = try TestMachine("off")
        try machine.start()
        let client = try machine.client()
        try client.console().writeAll(Array("q".utf8), to: "the console")
        let end = try client.wait(seconds: 20)
        #expect(end.reason == "the guest powered off")
        #expect(!end.failed)
    }
}

@Suite(.enabled(if: qemu != nil, "qemu-system-x86_64 is not installed"))
struct MachineEndTests {
    @Test("a QEMU that refuses its arguments is quoted, and the machine counts as never started")
    func refusedStart() throws {
        let machine = try TestMachine("refused", extra: ["-device", "no-such-device"], restart: .always)
        let error = #expect(throws: UrsaError.self) { try machine.start() }
        #expect(error?.message.contains("QEMU refused to start") == true)
        #expect(error?.message.contains("no-such-device") == true)
        let status = try machine.status()
        #expect(status.state == .ended && status.failed && status.restarts == 0)
        #expect(status.exit == .exited(1))
    }

    @Test("an engine that does not exist is said to be missing")
    func missingEngine() throws {
        let machine = try TestMachine("missing")
        machine.launch.program = "/nonexistent/qemu"
        let error = #expect(throws: UrsaError.self) { try machine.start() }
        #expect(error?.code == .notFound)
    }

    @Test("an engine that never answers on its monitor is ended")
    func silentEngine() throws {
        let machine = try TestMachine("silent")
        machine.launch.program = "/bin/sleep"
        machine.launch.arguments = ["1000"]
        machine.launch.startTimeout = 0.3
        let error = #expect(throws: UrsaError.self) { try machine.start() }
        #expect(error?.message == "sleep did not answer on its monitor for 1 s after its start")
        #expect(try !machine.status().isAlive)
    }

    @Test("a second start of a running machine is refused and leaves it alone")
    func secondStart() throws {
        let machine = try TestMachine("twice")
        let first = try machine.start()
        let error = #expect(throws: UrsaError.self) { try machine.start() }
        #expect(error?.code == .conflict)
        #expect(try machine.status().engine == first.engine)
    }

    @Test("a machine can be started at the moment at which its end is told")
    func startAtOnce() throws {
        let machine = try TestMachine("again")
        for _ in 0..<5 {
            try machine.start()
            _ = try machine.client().kill()
        }
        #expect(try machine.status().reason == "killed on request")
    }

    @Test("kill -9 of QEMU is told in words")
    func engineKilled() throws {
        let machine = try TestMachine("shot")
        let status = try machine.start()
        let client = try machine.client()
        status.engine?.signal(SIGKILL)
        let end = try? client.wait(seconds: 20)
        #expect(try machine.status().reason == "QEMU was killed by signal 9 (Killed)")
        #expect(try machine.status().exit == .signalled(9))
        #expect(try machine.status().failed)
        #expect(end == nil || end?.state == .ended)
        #expect(machine.events("ended").count == 1)
    }

    @Test("kill ends a machine at once")
    func kill() throws {
        let machine = try TestMachine("kill")
        try machine.start()
        let end = try machine.client().kill()
        #expect(end.reason == "killed on request" && !end.failed)
        #expect(try eventually { try !machine.status().isKept })
        // Nothing is left to connect to.
        #expect(File.list(machine.folder).filter { $0.hasSuffix(".sock") }.isEmpty)
        #expect(throws: UrsaError.self) { try machine.client() }
    }

    @Test("a guest that resets goes on in the same engine")
    func rebootInPlace() throws {
        let machine = try TestMachine("reset")
        let first = try machine.start()
        let client = try machine.client()
        let console = try client.console()
        #expect(readUntil(console, "FIRST\r\n").contains("FIRST"))
        try console.writeAll(Array("r".utf8), to: "the console")
        #expect(readUntil(console, "FIRST\r\n").contains("FIRST"))
        #expect(try client.status().engine == first.engine)
        #expect(eventually { machine.events("reset").first?["detail"]?.string == "the guest rebooted" })
    }

    @Test("a guest panic is a failure with its own words")
    func panic() throws {
        let machine = try TestMachine("panic")
        try machine.start()
        let client = try machine.client()
        try client.console().writeAll(Array("p".utf8), to: "the console")
        let end = try client.wait(seconds: 20)
        #expect(end.reason == "the guest's kernel panicked")
        #expect(end.failed)
    }

    @Test("pause holds the machine, resume lets it go on, and the status says which")
    func pauseAndResume() throws {
        let machine = try TestMachine("pause")
        try machine.start()
        let client = try machine.client()
        try client.pause()
        #expect(try eventually { try machine.status().state == .paused })
        try client.resume()
        #expect(try eventually { try machine.status().state == .running })
    }

    @Test("the settle program runs when the machine has ended for good")
    func settle() throws {
        let machine = try TestMachine("settle")
        machine.launch.settle = ["/bin/touch", machine.folder + "/settled"]
        try machine.start()
        #expect(!File.exists(machine.folder + "/settled"))
        try machine.client().kill()
        #expect(eventually { File.exists(machine.folder + "/settled") })
    }

    @Test("no engine is left a zombie under a keeper that restarts it")
    func noZombies() throws {
        let machine = try TestMachine("zombie", restart: .always)
        let first = try machine.start()
        let keeper = first.keeper?.pid ?? -1
        first.engine?.signal(SIGKILL)
        #expect(try eventually { try machine.status().restarts == 1 && machine.status().state == .running })
        // The kernel's own list of the keeper's children, dead ones included.
        let children = File.peek("/proc/\(keeper)/task/\(keeper)/children") ?? ""
        #expect(children.split(separator: " ").count == 1)
    }
}

@Suite(.enabled(if: qemu != nil, "qemu-system-x86_64 is not installed"))
struct RestartTests {
    @Test("always: a machine that powers off starts again, until a person stops it")
    func always() throws {
        let machine = try TestMachine("always", restart: .always)
        let first = try machine.start()
        let client = try machine.client()
        try client.console().writeAll(Array("q".utf8), to: "the console")
        #expect(try eventually { try machine.status().restarts == 1 && machine.status().state == .running })
        let second = try machine.status()
        #expect(second.engine != first.engine && second.keeper == first.keeper)
        #expect(second.reason == "the guest powered off")
        let console = try client.console(.readOnly)
        // Both lives are in the scrollback, with a line between them.
        let text = readUntil(console, "[ursa: the guest powered off]\r\nFIRST\r\n")
        #expect(text.hasPrefix("FIRST\r\n") && text.hasSuffix("[ursa: the guest powered off]\r\nFIRST\r\n"))
        pause(milliseconds: 50)
        #expect(try client.stop(seconds: 20).reason == "stopped by the power button")
        #expect(try machine.status().restarts == 1)
    }

    @Test("on-failure with a limit: as many restarts in a row, then the end, and the reason counts them")
    func onFailureLimit() throws {
        let machine = try TestMachine("limit", restart: .onFailure(limit: 2))
        var status = try machine.start()
        let client = try machine.client()
        for round in 1...3 {
            status.engine?.signal(SIGKILL)
            guard round < 3 else { break }
            let old = status.engine
            #expect(
                try eventually {
                    status = try machine.status()
                    return status.state == .running && status.engine != old && status.restarts == round
                })
        }
        _ = try? client.wait(seconds: 20)
        #expect(try eventually { try machine.status().state == .ended })
        #expect(
            try machine.status().reason
                == "QEMU was killed by signal 9 (Killed); not started again after 2 restarts in a row")
    }

    @Test("on-failure: a guest that powers off stays off")
    func onFailureButPoweredOff() throws {
        let machine = try TestMachine("calm", restart: .onFailure(limit: nil))
        try machine.start()
        let client = try machine.client()
        try client.console().writeAll(Array("q".utf8), to: "the console")
        #expect(try client.wait(seconds: 20).reason == "the guest powered off")
        #expect(try machine.status().restarts == 0)
    }

    @Test("a machine that waits for its restart can be stopped")
    func stopWhileWaiting() throws {
        let machine = try TestMachine("waiting", restart: .always)
        machine.launch.pace = .init(first: 60, longest: 60, steady: 60)
        let first = try machine.start()
        first.engine?.signal(SIGKILL)
        #expect(try eventually { try machine.status().state == .restarting })
        let end = try machine.client().stop(seconds: 5)
        #expect(end.state == .ended && end.reason == "stopped while it waited to be started again")
    }

    @Test("delays double up to the longest", arguments: [(1, 0.5), (2, 1), (3, 2), (7, 32), (8, 60), (1000, 60)])
    func delays(count: Int, seconds: Double) {
        #expect(KeeperLaunch.Pace().delay(count) == seconds)
    }
}
