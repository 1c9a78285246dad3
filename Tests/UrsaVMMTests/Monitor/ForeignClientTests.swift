import Testing
import UrsaBase
import UrsaQMP

@testable import UrsaVMM

/// What the test needs besides KVM.
private enum Peer {
    static let root = Path.parent(Path.parent(Path.parent(Path.parent(#filePath))))
    /// The Python that has the package, or why there is none.
    private static let found: Result<String, UrsaError> = {
        do throws(UrsaError) {
            // With the environment's own way to the package index.
            let result = try Program(root + "/scripts/python-peers", []).run(seconds: 180)
            guard result.end.isSuccess else { throw UrsaError(.unsupported, result.errors.trimmed) }
            return .success(result.text.trimmed)
        } catch { return .failure(error) }
    }()
    static let python = try? found.get()
    static var obstacle: String { if case .failure(let error) = found { error.message } else { "" } }
}

/// A client that we did not write: the Python package `qemu.qmp`, on the monitor of a real machine.
@Suite(
    .serialized, .enabled(if: hasKVM, "needs /dev/kvm"),
    .enabled(if: Peer.python != nil, "there is no qemu.qmp: \(Peer.obstacle)"))
struct ForeignClientTests {
    @Test func `qemu's own client connects, stops and resumes, hears of it, resets and quits`() throws {
        var kernel = TinyKernel()
        kernel.print("go\n")
        kernel.rest()
        let bench = try MachineTests.Bench(kernel, cpus: 2)
        #expect(bench.read(until: "go\n") == "go\n")
        let peer = Program(
            try #require(Peer.python), [Peer.root + "/Tests/Peers/drive-qmp", bench.scratch.file("qmp")],
            environment: ["PATH=/usr/bin:/bin", "LANG=C.UTF-8"])
        let result = try peer.run(seconds: 60)
        #expect(result.end.isSuccess, "\(result.errors)")
        // Where the peer gave up, the machine still runs.
        if !result.end.isSuccess { _ = try? QMPClient(bench.scratch.file("qmp")).execute("quit") }
        #expect(
            result.text.split(separator: "\n") == [
                "greeting True", "status running True", "event STOP True", "status paused", "event RESUME True",
                "name machine", "refused CommandNotFound", "answers 20", "event RESET True", "event SHUTDOWN True",
                "done",
            ])
        #expect(try bench.outcome() == .poweredOff(.hostQuit))
    }
}
