import Glibc
import Testing
import UrsaBase

private let one: Set<Int32> = [1]
private let two: Set<Int32> = [2]
private let long = String(repeating: "a", count: 10_000)
private let huge = String(repeating: "9", count: 400)

/// Wrong lines for each verb alone.
private let everyVerb: [WrongLine] = [
    "bench", "check", "commit", "compare", "convert", "create", "dd", "info", "map", "measure", "rebase", "resize",
    "snapshot",
].flatMap { verb in
    let status: Set<Int32> = verb == "compare" ? two : one
    return [
        WrongLine(status, "image", verb), WrongLine(status, "image", verb, "--"),
        WrongLine(status, "image", verb, "--nosuch"),
        WrongLine(status, "image", verb, "-Z"), WrongLine(status, "image", verb, "-f"),
        WrongLine(status, "image", verb, "nosuch", "a", "b", "c", "d"), WrongLine(status, "image", verb, "--\(long)"),
        WrongLine(status, "image", verb, "-\u{202e}"),
        WrongLine(status, "image", verb, "\u{1b}[2J", "\u{1b}[31m", "--x"),
        WrongLine(status, "image", verb, "--=x"),
        WrongLine(status, bytes: [Array("image".utf8), Array(verb.utf8), [0xff, 0x2d]]),
    ]
}

private let single: [WrongLine] = [
    WrongLine(one, "image", "create", "a"), WrongLine(one, "image", "create", "a", "-1G"),
    WrongLine(one, "image", "create", "a", huge), WrongLine(one, "image", "create", "-f", "qcow2", "a", "9E"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "cluster_size=3", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "cluster_size=4M", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "refcount_bits=7", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "nosuch=1", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "=1", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "compat=v2,lazy_refcounts=on", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "compression_type=lzma", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "extended_l2=on,cluster_size=4k", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "data_file_raw=on", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "preallocation=some", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "raw", "-o", "preallocation=metadata", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "size=1M", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-o", "cluster_size=512", "a", "1P"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-b", "nosuch", "a"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-b", "nosuch", "-F", "qcow2", "a"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-u", "-b", "nosuch", "-F", "qcow2", "a"),
    WrongLine(one, "image", "create", "-f", "qcow2", "-F", "qcow2", "a", "1M"),
    WrongLine(one, "image", "create", "-f", "raw", "-b", "x", "-F", "raw", "a"),
    WrongLine(one, "image", "create", "-q", "/nosuch/folder/a", "1M"),
    WrongLine(one, "image", "create", "-q", "/", "1M"),
    WrongLine(one, "image", "convert", "a"), WrongLine(one, "image", "convert", "-O", "qcow2", "nosuch", "b"),
    WrongLine(one, "image", "convert", "-c", "-O", "raw", "nosuch", "b"),
    WrongLine(one, "image", "convert", "-m", "0", "a", "b"),
    WrongLine(one, "image", "convert", "-m", "17", "a", "b"), WrongLine(one, "image", "convert", "-S", "x", "a", "b"),
    WrongLine(one, "image", "convert", "-r", "0", "/etc/hostname", "b"),
    WrongLine(one, "image", "convert", "-l", "s", "/etc/hostname", "b"),
    WrongLine(one, "image", "convert", "-t", "never", "/etc/hostname", "b"),
    WrongLine(one, "image", "convert", "--target-is-zero", "/etc/hostname", "b"),
    WrongLine(one, "image", "convert", "-n", "/etc/hostname", "b"),
    WrongLine(one, "image", "convert", "-f", "nosuch", "a", "b"),
    WrongLine(one, "image", "convert", "-f", "qcow2", "-O", "raw", "/etc/hostname", "b"),
    WrongLine(one, "image", "convert", "-O", "qcow2", "-B", "x", "/etc/hostname", "b"),
    WrongLine(one, "image", "convert", "-O", "qcow2", "/dev/zero", "b"),
    WrongLine(one, "image", "convert", "/etc", "b"),
    WrongLine(one, "image", "dd", "if=/etc/hostname"), WrongLine(one, "image", "dd", "of=b"),
    WrongLine(one, "image", "dd", "if=/etc/hostname", "of=b", "bs=0"),
    WrongLine(one, "image", "dd", "if=/etc/hostname", "of=b", "bs=\(huge)"),
    WrongLine(one, "image", "dd", "if=/etc/hostname", "of=b", "seek=1"), WrongLine(one, "image", "dd", "if=", "of="),
    WrongLine(one, "image", "check", "-r", "some", "a"),
    WrongLine(one, "image", "check", "-f", "qcow2", "/etc/hostname"),
    WrongLine([63], "image", "check", "/etc/hostname"),
    WrongLine(one, "image", "info", "--output=xml", "/etc/hostname"),
    WrongLine(one, "image", "info", "-f", "qcow2", "/etc/hostname"), WrongLine(one, "image", "info", "/dev/zero"),
    WrongLine(one, "image", "map", "--start-offset=x", "/etc/hostname"),
    WrongLine(one, "image", "measure", "--size", "x"), WrongLine(one, "image", "measure", "--size", "1G", "a"),
    WrongLine(one, "image", "measure", "-O", "qcow2", "-o", "cluster_size=1", "--size", "1G"),
    WrongLine(one, "image", "measure", "-O", "qcow2", "-o", "cluster_size=512", "--size", "1E"),
    WrongLine(one, "image", "rebase", "-b", "x", "a"), WrongLine(one, "image", "rebase", "/etc/hostname"),
    WrongLine(one, "image", "rebase", "-f", "raw", "-b", "", "/etc/hostname"),
    WrongLine(one, "image", "resize", "a"), WrongLine(one, "image", "resize", "a", "+x"),
    WrongLine(one, "image", "resize", "a", "--shrink"),
    WrongLine(one, "image", "resize", "nosuch", "+1M"), WrongLine(one, "image", "resize", "/etc/hostname", "+1M"),
    WrongLine(one, "image", "resize", "--preallocation=x", "a", "1M"),
    WrongLine(one, "image", "snapshot", "-l", "-c", "x", "a"),
    WrongLine(one, "image", "snapshot", "-a", "x", "-d", "y", "a"),
    WrongLine(one, "image", "snapshot", "-c", "x", "/etc/hostname"), WrongLine(one, "image", "commit", "/etc/hostname"),
    WrongLine(two, "image", "compare", "a"), WrongLine(two, "image", "compare", "nosuch", "/etc/hostname"),
    WrongLine(two, "image", "compare", "-f", "qcow2", "/etc/hostname", "/etc/hostname"),
    WrongLine(one, "image", "bench", "-c", "0", "a"), WrongLine(one, "image", "bench", "-d", "0", "a"),
    WrongLine(one, "image", "bench", "-s", "0", "a"), WrongLine(one, "image", "bench", "--pattern=256", "a"),
    WrongLine(one, "image", "bench", "--flush-interval=5", "a"),
    WrongLine(one, "image", "bench", "-w", "/etc/hostname"),
    WrongLine(one, "image", "bench", "-i", "magic", "a"), WrongLine(one, "image", "bench", "/etc/hostname"),
]

@Suite(.enabled(if: DiskWorkshop.hasQEMU, "needs qemu-img"))
struct WrongImageLineTests {
    static let all = everyVerb + single

    @Test("A wrong line of an image verb gets its status and our errors, and touches nothing", arguments: all)
    func isRefused(_ line: WrongLine) throws {
        let runner = try CommandRunner()
        let result = try runner.run(bytes: line.arguments)
        guard case .exited(let status) = result.end else {
            Issue.record("ursa \(result.end): \(result.errors)")
            return
        }
        #expect(line.statuses.contains(status), "status \(status): \(result.errors)")
        #expect(!result.errors.unicodeScalars.contains { $0.value < 32 && $0 != "\n" || $0.value == 0x202e })
        #expect(runner.strayFiles() == [])
        #expect(!File.exists(runner.home))
        // What only qemu-img knows, it says in its own words.
        guard !result.errors.contains("qemu-img: ") else { return }
        #expect(result.output.isEmpty)
        #expect(result.errors.hasPrefix("ursa: "))
        for text in result.errorLines {
            #expect(text.hasPrefix("ursa: ") || text.hasPrefix("    "), "no error line: \(text)")
        }
    }

    @Test func thereAreEnoughOfThem() { #expect(WrongImageLineTests.all.count > 200) }

    @Test("Errors are JSON where that is asked for", arguments: [["--json"], ["--output=json"]])
    func json(_ option: [String]) throws {
        let words = ["image", "info"] + option + ["/nosuch"]
        let result = try CommandRunner().run(bytes: words.map { Array($0.utf8) })
        #expect(result.end == .exited(1))
        #expect(try JSON.parse(result.errors)["errors"]?.array?.count == 1)
    }

    @Test("By the name of kvm-img it is qemu-img")
    func byName() throws {
        let shop = try DiskWorkshop()
        for name in ["kvm-img", "qemu-img"] {
            #expect(symlink(CommandRunner.binary, shop.path(name)) == 0)
            func run(_ words: String...) throws -> Program.Output {
                var program = Program(shop.path(name), words)
                program.directory = shop.folder
                return try program.run()
            }
            #expect(try run("create", "-f", "qcow2", "a.qcow2", "10M").end == .exited(0))
            #expect(try run("info", "a.qcow2").text == shop.qemu("info", "a.qcow2"))
            #expect(try run("--help").text.contains("USAGE: \(name) COMMAND"))
            #expect(try run("create", "--help").text.contains("  \(name) create -f qcow2"))
            #expect(try run("--version").end == .exited(0))
            #expect(try run("creat").errors.contains("did you mean 'create'?"))
            #expect(try run().end == .exited(1))
        }
    }
}
