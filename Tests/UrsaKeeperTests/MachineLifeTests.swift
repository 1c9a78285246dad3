import Glibc
import Testing
import UrsaBase
import UrsaKeeper
import UrsaQMP

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
