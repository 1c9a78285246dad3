import Glibc
import Testing
import UrsaBase

@testable import UrsaDisk

/// Locks that QEMU understands, against QEMU.
@Suite(.enabled(if: QemuTools.areThere, "needs qemu-img and qemu-io")) struct LockTests {
    private func image(_ folder: ScratchFolder) throws -> String {
        let path = folder("disk")
        try Qcow2Image.create(try ImageFile.create(path), Qcow2CreateOptions(size: 1 << 20)).close()
        return path
    }

    private func exit(_ program: String, _ arguments: [String]) throws -> Bool {
        try Program(program, arguments).run(seconds: 60).end.isSuccess
    }

    @Test func `an image that we write to is refused by QEMU, for reading and writing`() throws {
        let folder = try ScratchFolder()
        let path = try image(folder)
        do {
            let writer = try DiskImage.openForWriting(path, format: .qcow2)
            #expect(try !exit("qemu-img", ["info", path]))
            #expect(try !exit("qemu-io", ["-f", "qcow2", "-c", "write 0 512", path]))
            #expect(try exit("qemu-img", ["info", "-U", path]))
            try writer.close()
        }
        #expect(try exit("qemu-img", ["info", path]))
    }

    @Test func `an image that we read is refused to QEMU's writers only`() throws {
        let folder = try ScratchFolder()
        let path = try image(folder)
        let reader = try DiskImage.open(path, format: .qcow2)
        #expect(try exit("qemu-img", ["info", path]))
        #expect(try !exit("qemu-io", ["-f", "qcow2", "-c", "write 0 512", path]))
        #expect(reader.size == 1 << 20)
    }

    @Test func `an image that QEMU has open is refused here as QEMU would refuse it`() throws {
        let folder = try ScratchFolder()
        let path = try image(folder)
        // qemu-io waits for commands on a pipe that stays open.
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { close(ends[1]) }
        _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
        for (arguments, mayRead) in [(["-f", "qcow2", path], false), (["-r", "-f", "qcow2", path], true)] {
            var program = Program("qemu-io", arguments)
            program.descriptors[0] = ends[0]
            program.diesWithParent = true
            let child = try program.start()
            defer {
                child.signal(SIGKILL)
                _ = try? child.wait()
            }
            // Until it has its locks.
            let deadline = Deadline.after(seconds: 30)
            var isHeld = false
            while !isHeld, !deadline.isPast {
                pause(milliseconds: 20)
                isHeld = (try? DiskImage.openForWriting(path, format: .qcow2)) == nil
            }
            #expect(isHeld)
            let reading: Bool = (try? DiskImage.open(path, format: .qcow2)) != nil
            #expect(reading == mayRead)
            var unlocked = DiskImage.Options()
            unlocked.locks = false
            #expect(try DiskImage.open(path, format: .qcow2, unlocked).size == 1 << 20)
        }
        close(ends[0])
    }

    @Test func `two writers of one image can't be, and a backing image under a writer can't be written to`() throws {
        let folder = try ScratchFolder()
        let base = try image(folder)
        var options = Qcow2CreateOptions(size: 1 << 20)
        options.backingFile = "disk"
        options.backingFormat = "qcow2"
        try Qcow2Image.create(try ImageFile.create(folder("top")), options).close()
        let top = try DiskImage.openForWriting(folder("top"), format: .qcow2)
        #expect(throws: UrsaError.self) { try DiskImage.openForWriting(folder("top"), format: .qcow2) }
        #expect(throws: UrsaError.self) { try DiskImage.openForWriting(base, format: .qcow2) }
        #expect(try !exit("qemu-io", ["-f", "qcow2", "-c", "write 0 512", base]))
        #expect(try DiskImage.open(base, format: .qcow2).size == 1 << 20)
        try top.close()
    }
}
