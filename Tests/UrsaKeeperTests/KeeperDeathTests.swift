import Glibc
import Testing
import UrsaBase
import UrsaQMP

@testable import UrsaKeeper

@Suite(.enabled(if: qemu != nil, "qemu-system-x86_64 is not installed"))
struct KeeperDeathTests {
    /// Kills the keeper and waits until it is gone.
    private func shoot(_ status: MachineStatus) {
        status.keeper?.signal(SIGKILL)
        _ = status.keeper?.waitForEnd(until: .after(seconds: 5))
    }

    @Test("kill -9 of the keeper leaves the machine running; a new keeper has its console, monitor and end")
    func adoption() throws {
        let machine = try TestMachine("orphan")
        let first = try machine.start()
        let before = try machine.client().console()
        #expect(readUntil(before, "FIRST\r\n").contains("FIRST"))
        shoot(first)
        let orphan = try machine.status()
        #expect(orphan.isOrphan && orphan.state == .running)
        // A start is refused: the machine is there.
        #expect(throws: UrsaError.self) { try machine.start() }

        let adopted = try Keeper.adopt(folder: machine.folder, keeperProgram: keeperProgram)
        #expect(adopted.engine == first.engine && adopted.keeper != first.keeper)
        let client = try machine.client()
        #expect(eventually { (try? client.qmp("query-status"))?["status"]?.string == "running" })
        let console = try client.console()
        let text = readUntil(console, "is lost]\r\n")
        #expect(text.hasPrefix("FIRST\r\n"))
        try console.writeAll(Array("again".utf8), to: "the console")
        #expect(readUntil(console, "again").contains("again"))
        let end = try client.stop(seconds: 20)
        #expect(end.reason == "stopped by the power button")
        #expect(throws: UrsaError.self) { try Keeper.adopt(folder: machine.folder, keeperProgram: keeperProgram) }
    }

    @Test("a machine with a living keeper can't be adopted")
    func adoptTwice() throws {
        let machine = try TestMachine("kept")
        let first = try machine.start()
        let error = #expect(throws: UrsaError.self) {
            try Keeper.adopt(folder: machine.folder, keeperProgram: keeperProgram)
        }
        #expect(error?.code == .conflict)
        #expect(try machine.status().keeper == first.keeper)
    }

    @Test("an adopted machine that crashes is started again by its policy")
    func adoptedRestart() throws {
        let machine = try TestMachine("phoenix", restart: .always)
        let first = try machine.start()
        shoot(first)
        _ = try Keeper.adopt(folder: machine.folder, keeperProgram: keeperProgram)
        first.engine?.signal(SIGKILL)
        #expect(try eventually { try machine.status().restarts == 1 && machine.status().state == .running })
        #expect(try machine.status().engine != first.engine)
    }

    @Test("engine and keeper both killed: the file says running, the status says ended")
    func bothKilled() throws {
        let machine = try TestMachine("gone")
        let first = try machine.start()
        shoot(first)
        first.engine?.signal(SIGKILL)
        _ = first.engine?.waitForEnd(until: .after(seconds: 5))
        let status = try machine.status()
        #expect(status.state == .ended && status.failed && !status.isAlive)
        #expect(status.reason == "the engine and its keeper were both killed, so nobody saw why")
        // And it can be started again right away.
        #expect(try machine.start().state == .running)
    }

    @Test("after a reboot of the host no machine runs, whatever pids the file names")
    func otherBoot() throws {
        let folder = try TestMachine("boot")
        var status = MachineStatus(machine: "id", name: "boot")
        status.state = .running
        status.engine = .current
        status.keeper = .current
        #expect(status.judged().state == .running && status.isAlive)
        status.boot = "00000000-0000-0000-0000-000000000000"
        try File.replace(folder.folder + "/status.json", status.json.line)
        let judged = try folder.status()
        #expect(judged.state == .ended && !judged.isAlive && !judged.isKept)
        #expect(judged.reason == "the host went down or was restarted")
    }

    @Test("SIGTERM to the keeper stops the machine by its power button")
    func terminated() throws {
        let machine = try TestMachine("term")
        let first = try machine.start()
        let client = try machine.client()
        let console = try client.console()
        _ = readUntil(console, "FIRST\r\n")
        pause(milliseconds: 50)
        first.keeper?.signal(SIGTERM)
        #expect(try client.wait(seconds: 20).reason == "stopped by the power button")
    }

    @Test("a keeper whose folder becomes unwritable keeps the machine and says what hinders it")
    func folderGone() throws {
        let machine = try TestMachine("full")
        try machine.start()
        let client = try machine.client()
        let console = try client.console()
        _ = readUntil(console, "FIRST\r\n")
        // A folder in the place of the temporary file's target makes the atomic rename fail, as a full disk would.
        try File.remove(machine.folder + "/status.json")
        try File.makeDirectory(machine.folder + "/status.json")
        try client.pause()
        #expect(try eventually { try client.status().state == .paused })
        #expect(try client.status().trouble?.contains("status.json") == true)
        #expect(try client.kill().reason == "killed on request")
    }

    @Test("an engine whose keeper was killed before it wrote so down is ended by the next start")
    func strayEngine() throws {
        let machine = try TestMachine("stray")
        let first = try machine.start()
        shoot(first)
        // No status names it below, so the machine's own clean-up would not find it should the test fail.
        defer { first.engine?.signal(SIGKILL) }
        try File.remove(machine.folder + "/status.json")
        let second = try machine.start()
        #expect(second.state == .running && second.engine != first.engine)
        #expect(first.engine?.isAlive == false)
    }

    @Test(
        "a new keeper takes the network card's descriptor out of the living engine, so a restart still has it",
        .enabled(if: geteuid() == 0, "copying a descriptor out of another process needs root"))
    func tapsAfterAdoption() throws {
        let machine = try TestMachine("tap", restart: .always)
        machine.launch.inherited = [20]
        let pipe = try makePipe()
        let first = try Keeper.start(
            machine.launch, folder: machine.folder, taps: [20: pipe.write.raw], keeperProgram: keeperProgram)
        func tap(_ status: MachineStatus) -> String? {
            var buffer = [UInt8](repeating: 0, count: 256)
            let count = buffer.withUnsafeMutableBytes { space in
                space.baseAddress.map { readlink("/proc/\(status.engine?.pid ?? 0)/fd/20", $0, space.count) } ?? -1
            }
            return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
        }
        let name = tap(first)
        #expect(name?.hasPrefix("pipe:") == true)
        shoot(first)
        _ = try Keeper.adopt(folder: machine.folder, keeperProgram: keeperProgram)
        first.engine?.signal(SIGKILL)
        #expect(try eventually { try machine.status().restarts == 1 && machine.status().state == .running })
        #expect(tap(try machine.status()) == name)
    }
}
