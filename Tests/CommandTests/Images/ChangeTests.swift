import Glibc
import Testing
import UrsaBase

/// Verbs that change images, each judged by qemu-img.
@Suite(.enabled(if: DiskWorkshop.hasQEMU, "needs qemu-img and qemu-io"))
struct ChangeTests {
    @Test("Disks grow and shrink by qemu-img's words")
    func resizes() throws {
        let shop = try DiskWorkshop()
        try shop.make("create", "-q", "-f", "qcow2", "a.qcow2", "10M")
        try shop.io("qcow2", "a.qcow2", "write -P 3 9M 1M")
        func size(_ name: String, _ format: String) throws -> Int64? {
            try JSON.parse(shop.qemu("info", "--output=json", "-f", format, name))["virtual-size"]?.integer
        }
        #expect(try shop.make("resize", "a.qcow2", "+10M") == "Image resized.\n")
        #expect(try size("a.qcow2", "qcow2") == 20 << 20)
        #expect(try shop.ursa("resize", "a.qcow2", "5M").end == .exited(1))
        #expect(try shop.ursa("resize", "a.qcow2", "-5M").errors.contains("--shrink"))
        try shop.make("resize", "--shrink", "a.qcow2", "-5M")
        #expect(try size("a.qcow2", "qcow2") == 15 << 20)
        try shop.make("resize", "-q", "--preallocation=metadata", "a.qcow2", "16M")
        try shop.expectSound("a.qcow2")
        try shop.make("convert", "-O", "raw", "a.qcow2", "a.raw")
        #expect(try File.read(shop.path("a.raw"))[(9 << 20)..<(10 << 20)].allSatisfy { $0 == 3 })

        // The format of raw disks is never guessed.
        let guess = try shop.ursa("resize", "a.raw", "1M")
        #expect(guess.end == .exited(1) && guess.errors.contains("-f raw"))
        try shop.make("resize", "-f", "raw", "a.raw", "+1k")
        #expect(try size("a.raw", "raw") == 16 << 20 + 1024)
        try shop.make("resize", "-f", "raw", "--shrink", "a.raw", "1M")
        #expect(File.status(shop.path("a.raw")).map { Int($0.st_size) } == 1 << 20)
    }

    @Test("A commit gives the image below what the upper ones say, and empties the top")
    func commits() throws {
        let shop = try DiskWorkshop()
        for base in ["raw", "qcow2"] {
            try shop.raw("a.raw", size: 4 << 20, seed: 4)
            try shop.make("convert", "-f", "raw", "-O", base, "a.raw", "base")
            try shop.make("create", "-q", "-f", "qcow2", "-b", "base", "-F", base, "top", "6M")
            try shop.io("qcow2", "top", "write -P 1 100k 300k", "write -z 1M 128k", "write -P 2 5M 64k")
            try shop.make("convert", "-O", "raw", "top", "wanted")
            let status = try shop.ursa("commit", "top")
            #expect(status.end == .exited(0) && status.output == "Image committed.\n", "\(status.errors)")
            try shop.expectSame("wanted", "raw", "base", base)
            try shop.expectSame("wanted", "raw", "top", "qcow2")
            try shop.expectSound("top")
            #expect(
                try JSON.parse(shop.qemu("map", "--output=json", "top")).array?.allSatisfy { $0["depth"] != 0 } == true)
            if base == "qcow2" { try shop.expectSound("base") }
        }
    }

    @Test("A commit over several images leaves the top as it is, as -d does")
    func commitsDeeper() throws {
        let shop = try DiskWorkshop()
        try shop.raw("base", size: 4 << 20, seed: 5)
        try shop.make("create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "middle")
        try shop.io("qcow2", "middle", "write -P 1 1M 200k")
        try shop.make("create", "-q", "-f", "qcow2", "-b", "middle", "-F", "qcow2", "top")
        try shop.io("qcow2", "top", "write -P 2 1100k 200k", "write -z 3M 64k")
        try shop.make("convert", "-O", "raw", "top", "wanted")
        try shop.make("commit", "-b", "base", "top")
        try shop.expectSame("wanted", "raw", "base", "raw")
        try shop.expectSame("wanted", "raw", "top", "qcow2")
        try shop.make("commit", "-q", "-d", "top")
        try shop.expectSame("wanted", "raw", "middle", "qcow2")
        #expect(try shop.ursa("commit", "-b", "elsewhere", "top").end == .exited(1))
        #expect(try shop.ursa("commit", "-f", "raw", "base").end == .exited(1))
    }

    @Test("A rebased image reads as before, over another, over none, and with -u unseen")
    func rebases() throws {
        let shop = try DiskWorkshop()
        try shop.raw("a.raw", size: 4 << 20, seed: 6)
        try shop.raw("b.raw", size: 3 << 20, seed: 7)
        for options in ["cluster_size=64k", "extended_l2=on", "cluster_size=512", "compat=v2"] {
            try shop.make("create", "-q", "-f", "qcow2", "-o", options, "-b", "a.raw", "-F", "raw", "top")
            try shop.io("qcow2", "top", "write -P 1 100k 300k", "write -P 2 3M 1000")
            try shop.make("convert", "-O", "raw", "top", "wanted")
            try shop.make("rebase", "-b", "b.raw", "-F", "raw", "top")
            #expect(try shop.qemu("info", "top").contains("backing file: b.raw"))
            try shop.expectSame("wanted", "raw", "top", "qcow2")
            try shop.expectSound("top")
            try shop.make("rebase", "-p", "-b", "", "top")
            #expect(!(try shop.qemu("info", "top").contains("backing file")))
            try shop.expectSame("wanted", "raw", "top", "qcow2")
            try shop.expectSound("top")
        }
        try shop.make("create", "-q", "-f", "qcow2", "-b", "a.raw", "-F", "raw", "top")
        try shop.make("rebase", "-u", "-b", "/gone/base.qcow2", "-F", "qcow2", "top")
        #expect(try shop.qemu("info", "top").contains("backing file: /gone/base.qcow2"))
        #expect(try shop.ursa("rebase", "top").end == .exited(1))
        #expect(try shop.ursa("rebase", "-b", "b.raw", "top").errors.contains("-F"))
    }

    @Test("Snapshots are made, listed, gone back to and deleted")
    func snapshots() throws {
        let shop = try DiskWorkshop()
        try shop.make("create", "-q", "-f", "qcow2", "a.qcow2", "10M")
        #expect(try shop.make("snapshot", "a.qcow2") == "")
        for (index, name) in ["one", "two", "three"].enumerated() {
            try shop.io("qcow2", "a.qcow2", "write -P \(index + 1) 1M 1M")
            try shop.make("snapshot", "-c", name, "a.qcow2")
        }
        #expect(try shop.make("snapshot", "-l", "a.qcow2") == shop.qemu("snapshot", "-l", "a.qcow2"))
        let list = try JSON.parse(shop.make("snapshot", "--json", "-l", "a.qcow2")).array ?? []
        #expect(list.compactMap { $0["name"]?.string } == ["one", "two", "three"])
        try shop.make("snapshot", "-a", "one", "a.qcow2")
        try shop.io("qcow2", "a.qcow2", "read -P 1 1M 1M")
        try shop.make("snapshot", "-d", "2", "a.qcow2")
        try shop.expectSound("a.qcow2")
        #expect(try shop.qemu("snapshot", "-l", "a.qcow2").split(separator: "\n").count == 4)
        for words in [["-a", "none"], ["-d", "none"], ["-c", ""], ["-l", "-c", "x"]] {
            #expect(
                try shop.runner.run(bytes: (["image", "snapshot"] + words + ["a.qcow2"]).map { Array($0.utf8) }).end
                    == .exited(1))
        }
        try shop.raw("b.raw", size: 1 << 20, seed: 1)
        #expect(try shop.make("snapshot", "-l", "-f", "raw", "b.raw") == "")
        #expect(try shop.ursa("snapshot", "-c", "x", "-f", "raw", "b.raw").end == .exited(1))
    }

    @Test("check says 0, 2, 3 and 63, and mends what it may")
    func checks() throws {
        let shop = try DiskWorkshop()
        try shop.make("create", "-q", "-f", "qcow2", "a.qcow2", "10M")
        try shop.io("qcow2", "a.qcow2", "write 0 1M")
        #expect(try shop.ursa("check", "a.qcow2").end == .exited(0))
        // The table of the disk's first part goes: its clusters belong to nobody.
        func l1() throws -> off_t {
            try File.read(shop.path("a.qcow2"), limit: 64 << 20)[40..<48].reduce(0) { $0 << 8 | off_t($1) }
        }
        let fd = try File.open(shop.path("a.qcow2"), O_RDWR)
        #expect(try pwrite(fd.raw, [UInt8](repeating: 0, count: 8), 8, l1()) == 8)
        let leak = try shop.ursa("check", "a.qcow2")
        #expect(leak.end == .exited(3) && leak.output.contains("\n17 leaked clusters were found on the image.\n"))
        #expect(
            try shop.make("check", "-r", "leaks", "a.qcow2").contains("    17 leaked clusters\n    0 corruptions\n"))
        try shop.expectSound("a.qcow2")
        // A table that points past the end is damage.
        #expect(try pwrite(fd.raw, [0x80, 0, 0, 0, 0x40, 0, 0, 0] as [UInt8], 8, l1()) == 8)
        let damage = try shop.ursa("check", "--output=json", "a.qcow2")
        #expect(damage.end == .exited(2))
        #expect((try JSON.parse(damage.output)["corruptions"]?.integer ?? 0) > 0)
        try shop.raw("b.raw", size: 1 << 20, seed: 1)
        #expect(try shop.ursa("check", "-f", "raw", "b.raw").end == .exited(63))
        #expect(try shop.ursa("check", "nosuch").end == .exited(1))
        #expect(try shop.ursa("check", "-r", "some", "a.qcow2").end == .exited(1))
    }

    @Test("compare says where two images part, with qemu-img's statuses")
    func compares() throws {
        let shop = try DiskWorkshop()
        try shop.raw("a.raw", size: 3 << 20, seed: 1)
        try shop.make("convert", "-f", "raw", "-O", "qcow2", "a.raw", "b.qcow2")
        try shop.make("resize", "-q", "b.qcow2", "5M")
        try shop.make("convert", "-O", "qcow2", "b.qcow2", "c.qcow2")
        try shop.io("qcow2", "c.qcow2", "write -P 99 1000000 7")
        try shop.make("convert", "-O", "qcow2", "b.qcow2", "d.qcow2")
        try shop.io("qcow2", "d.qcow2", "write -P 99 4M 7")
        for (one, other) in [
            ("a.raw", "b.qcow2"), ("b.qcow2", "c.qcow2"), ("c.qcow2", "d.qcow2"), ("a.raw", "d.qcow2"),
            ("b.qcow2", "b.qcow2"),
            ("nosuch", "b.qcow2"),
        ] {
            for options in [[], ["-s"], ["-q"]] {
                let theirs = try shop.qemu(["compare"] + options + [one, other])
                let ours = try shop.runner.run(
                    bytes: (["image", "compare"] + options + [one, other]).map { Array($0.utf8) })
                #expect(
                    ours.end == theirs.end && ours.output == theirs.text,
                    "\(options) \(one) \(other): \(ours.output)\(ours.errors)")
            }
        }
    }

    @Test("An image that a machine uses is neither written to nor replaced")
    func locks() throws {
        let shop = try DiskWorkshop()
        try shop.make("create", "-q", "-f", "qcow2", "a.qcow2", "10M")
        try shop.raw("b.raw", size: 1 << 20, seed: 1)
        var user = Program("qemu-io", ["-f", "qcow2", "a.qcow2", "-c", "sleep 60000"])
        user.directory = shop.folder
        let child = try user.start()
        defer {
            child.signal(SIGKILL)
            _ = try? child.wait()
        }
        let deadline = Deadline.after(seconds: 10)
        while try shop.qemu(["info", "a.qcow2"]).end.isSuccess, !deadline.isPast { pause(milliseconds: 20) }
        for words in [
            ["resize", "a.qcow2", "+1M"], ["snapshot", "-c", "x", "a.qcow2"],
            ["create", "-f", "qcow2", "a.qcow2", "1M"],
            ["convert", "-f", "raw", "-O", "qcow2", "b.raw", "a.qcow2"], ["info", "a.qcow2"], ["check", "a.qcow2"],
        ] {
            let result = try shop.runner.run(bytes: (["image"] + words).map { Array($0.utf8) })
            #expect(result.end == .exited(1) && result.errors.contains("program"), "\(words): \(result.errors)")
        }
        #expect(try shop.ursa("info", "-U", "a.qcow2").end == .exited(0))
    }

    @Test("An image opens no file outside of its folder without a yes")
    func trusts() throws {
        let shop = try DiskWorkshop()
        let secret = shop.folder + "/../secret.raw"
        try File.replace(secret, [UInt8](repeating: 7, count: 65536))
        try shop.qemu("create", "-q", "-f", "qcow2", "-b", "../secret.raw", "-F", "raw", "a.qcow2")
        #expect(try shop.ursa("info", "a.qcow2").end == .exited(0))
        for words in [["convert", "-O", "raw", "a.qcow2", "b.raw"], ["map", "a.qcow2"], ["commit", "a.qcow2"]] {
            let result = try shop.runner.run(bytes: (["image"] + words).map { Array($0.utf8) })
            #expect(result.end == .exited(1) && result.errors.contains("--allow"), "\(words): \(result.errors)")
        }
        #expect(!File.exists(shop.path("b.raw")))
        try shop.make("convert", "--allow", secret, "-O", "raw", "a.qcow2", "b.raw")
        try shop.make("convert", "--trust-backing", "-O", "raw", "a.qcow2", "c.raw")
        #expect(try File.read(shop.path("b.raw")).first == 7)
        try File.remove(secret)
    }

    @Test("bench makes its requests")
    func benches() throws {
        let shop = try DiskWorkshop()
        try shop.make("create", "-q", "-f", "qcow2", "a.qcow2", "10M")
        let text = try shop.make(
            "bench", "-c", "500", "-w", "--pattern=66", "--flush-interval=100", "-d", "8", "a.qcow2")
        let lines = text.split(separator: "\n")
        #expect(
            lines[0]
                == "Sending 500 write requests, 4096 bytes each, 8 in parallel (starting at offset 0, step size 4096)")
        #expect(lines[1] == "Sending flush every 100 requests")
        #expect(lines[2].hasPrefix("Run completed in ") && lines[2].hasSuffix(" seconds."))
        try shop.io("qcow2", "a.qcow2", "read -P 66 0 2000k")
        #expect(try shop.make("bench", "-q", "-c", "10", "-s", "1000", "-S", "3M", "a.qcow2") == "")
    }
}
