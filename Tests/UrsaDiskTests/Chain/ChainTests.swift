import Glibc
import Testing
import UrsaBase

@testable import UrsaDisk

/// What an image may make us open.
@Suite struct ChainTests {
    private func overlay(_ path: String, over name: String, format: String?) throws {
        var options = Qcow2CreateOptions(size: 1 << 16)
        options.backingFile = name
        options.backingFormat = format
        try Qcow2Image.create(try ImageFile.create(path), options).close()
    }

    private func options(_ policy: ChainPolicy) -> DiskImage.Options {
        var options = DiskImage.Options()
        options.policy = policy
        return options
    }

    private func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return "nothing was thrown"
    }

    @Test func `a backing file outside of the image's folder needs a yes`() throws {
        let folder = try ScratchFolder()
        mkdir(folder("images"), 0o755)
        try File.replace(folder("secret"), [UInt8](repeating: 7, count: 65536))
        symlink(folder("secret"), folder("images/link"))
        for name in [folder("secret"), "../secret", "link", "../images/../secret"] {
            let path = folder("images/top")
            try overlay(path, over: name, format: "raw")
            let text = message { _ = try DiskImage.open(path, format: .qcow2) }
            #expect(text.contains("outside of its own folder"), "\(name): \(text)")
            // Writing opens it too.
            #expect(message { _ = try DiskImage.openForWriting(path, format: .qcow2) }.contains("outside"))
            var allowed = ChainPolicy.untrusted
            allowed.allowed = [folder(name == "link" ? "images/link" : "secret"), folder("images/" + name)]
            for policy in [ChainPolicy.trusted, allowed] {
                let image = try DiskImage.open(path, format: .qcow2, options(policy))
                var byte: UInt8 = 0
                try withUnsafeMutableBytes(of: &byte) { try image.read(into: $0, at: 5) }
                #expect(byte == 7)
            }
            #expect(message { _ = try DiskImage.open(path, format: .qcow2, options(.alone)) }.contains("folder"))
        }
        // Beside the image it is fine.
        try File.replace(folder("images/base"), [UInt8](repeating: 8, count: 65536))
        try overlay(folder("images/top"), over: "base", format: "raw")
        #expect(try DiskImage.open(folder("images/top"), format: .qcow2).backing?.size == 65536)
    }

    @Test func `loops and endless chains end with an error`() throws {
        let folder = try ScratchFolder()
        try overlay(folder("a"), over: "b", format: "qcow2")
        try overlay(folder("b"), over: "a", format: "qcow2")
        try overlay(folder("self"), over: "self", format: "qcow2")
        link(folder("self"), folder("other"))
        for name in ["a", "b", "self", "other"] {
            #expect(message { _ = try DiskImage.open(folder(name), format: .qcow2) }.contains("its own backing image"))
        }
        for index in 0..<12 { try overlay(folder("\(index)"), over: "\(index + 1)", format: "qcow2") }
        try File.replace(folder("12"), [1])
        var short = ChainPolicy.untrusted
        short.longest = 5
        #expect(message { _ = try DiskImage.open(folder("0"), format: .qcow2, options(short)) }.contains("more than 5"))
    }

    @Test func `a format that is not stated is guessed only where that can't lead further`() throws {
        let folder = try ScratchFolder()
        try File.replace(folder("plain"), [UInt8](repeating: 1, count: 65536))
        try overlay(folder("top"), over: "plain", format: nil)
        #expect(try DiskImage.open(folder("top"), format: .qcow2).backing?.format == .raw)
        // What a guest wrote into its raw disk: a qcow2 image over another file.
        try overlay(folder("plain"), over: "secret", format: "raw")
        try File.replace(folder("secret"), [UInt8](repeating: 2, count: 65536))
        let text = message { _ = try DiskImage.open(folder("top"), format: .qcow2) }
        #expect(text.contains("a guest may have written it"), "\(text)")
        #expect(try DiskImage.open(folder("top"), format: .qcow2, options(.trusted)).backing?.backing?.format == .raw)
    }

    @Test func `protocols, pipes and folders are refused`() throws {
        let folder = try ScratchFolder()
        for name in ["nbd://host/disk", "json:{\"driver\":\"file\"}", "http://x/y", "fd:3"] {
            try overlay(folder("top"), over: name, format: "raw")
            let text = message { _ = try DiskImage.open(folder("top"), format: .qcow2, options(.trusted)) }
            #expect(text.contains("not a plain file"), "\(text)")
        }
        mkfifo(folder("pipe"), 0o600)
        try overlay(folder("top"), over: "pipe", format: "raw")
        #expect(message { _ = try DiskImage.open(folder("top"), format: .qcow2) }.contains("neither a file nor"))
        #expect(message { _ = try DiskImage.open(folder.path, format: .raw) }.contains("neither a file nor"))
        // `file:` is QEMU's way to name a file with a colon.
        try File.replace(folder("a:b"), [UInt8](repeating: 1, count: 65536))
        try overlay(folder("top"), over: "file:a:b", format: "raw")
        #expect(try DiskImage.open(folder("top"), format: .qcow2).backing?.size == 65536)
    }
}
