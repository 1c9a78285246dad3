import Glibc
import Testing
import UrsaBase

@testable import UrsaNet

@Suite("Writing the names file")
struct HostsFileTests {
    @Test("a write removes what killed writers left, and nothing else")
    func unfinishedWrites() throws {
        var template = Array("/tmp/ursa-hosts-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { try? File.removeTree(folder) }
        // Past the kernel's largest process id (4194304), so nobody has it.
        let left = "hosts.new-4194305-4194305"
        let kept = [
            "hosts.new-\(getpid())-1", "hosts.new-mine", "hosts.new-4194305", "hosts.new-0-0", "other.new-4194305-1",
        ]
        for name in kept + [left, "hosts"] { try File.replace("\(folder)/\(name)", text: "x\n") }
        try HostsFile.write("\(folder)/hosts", Array("127.0.0.1 localhost\n".utf8))
        #expect(try File.readText("\(folder)/hosts") == "127.0.0.1 localhost\n")
        #expect(Set(File.list(folder)) == Set(kept + ["hosts"]))
    }
}
