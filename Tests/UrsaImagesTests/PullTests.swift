import Glibc
import Testing
import UrsaBase

@testable import UrsaImages

@Suite("Pulling an image", .enabled(if: has("curl", "sha256sum", "qemu-img"), "needs curl, sha256sum and qemu-img"))
struct PullTests {
    let folder: TempFolder
    let store: ImageStore
    let content: [UInt8]
    let digest: String

    init() throws {
        folder = try TempFolder()
        store = ImageStore(folder: folder("store"))
        let file = folder("source.qcow2")
        try Program("qemu-img", ["create", "-q", "-f", "qcow2", file, "64M"]).require("make an image")
        // Something in it, so that a half transfer is really half.
        var bytes = try File.read(file)
        for index in 0..<300_000 { bytes.append(UInt8(truncatingIfNeeded: index &* 7919 >> 5)) }
        content = bytes
        digest = hexadecimal(SHA256.digest(bytes))
    }

    private func part() -> [String] { File.list(folder("store/downloads")).filter { $0.hasSuffix(".part") } }

    @Test("a good file with the right checksum becomes an image, once")
    func good() throws {
        let server = try WebServer { [content] in WebServer.file(content, tag: "a", $0) }
        let image = try store.pull(url: server.url("d.qcow2"), name: "mine:1", sha256: digest)
        let disk = try #require(image.disk)
        #expect(disk.format == .qcow2)
        #expect(disk.virtualSize == .mebibytes(64))
        #expect(try File.read(disk.path) == content)
        #expect(image.boot == .disk && image.seed == .noCloud)
        #expect(try store.list() == [image])
        #expect(part().isEmpty)
        let again = try store.pull(url: server.url("d.qcow2"), name: "mine:1", sha256: digest)
        #expect(again.identifier == image.identifier)
        #expect(try store.list().count == 1)
    }

    @Test("a transfer that was cut goes on where it stopped")
    func resume() throws {
        let server = try WebServer { [content] request in
            var response = WebServer.file(content, tag: "a", request)
            if request.start == nil { response.cutAfter = 200_000 }
            return response
        }
        let error = #expect(throws: UrsaError.self) {
            try store.pull(url: server.url("d.qcow2"), name: "mine", sha256: digest)
        }
        #expect(error?.remedy?.contains("goes on where it stopped") == true)
        #expect(try store.list().isEmpty)
        let kept = try #require(part().first)
        #expect(File.status(folder("store/downloads/") + kept)?.st_size == 200_000)
        let image = try store.pull(url: server.url("d.qcow2"), name: "mine", sha256: digest)
        #expect(try File.read(try #require(image.disk).path) == content)
        #expect(server.requests.withLock { $0.last?.start } == 200_000)
    }

    @Test("a file that changed between two tries is not glued together")
    func changed() throws {
        let second = Locked(false)
        let other = content + [1, 2, 3]
        let server = try WebServer { [content] request in
            if second.withLock({ $0 }) { return WebServer.file(other, tag: "b", request) }
            var response = WebServer.file(content, tag: "a", request)
            response.cutAfter = 100_000
            return response
        }
        #expect(throws: UrsaError.self) { try store.pull(url: server.url("d.qcow2"), name: "mine", sha256: digest) }
        second.withLock { $0 = true }
        let image = try store.pull(
            url: server.url("d.qcow2"), name: "mine", sha256: hexadecimal(SHA256.digest(other)))
        #expect(try File.read(try #require(image.disk).path) == other)
        #expect(server.requests.withLock { $0.last?.start } == nil)
    }

    @Test("a wrong checksum leaves no image and no part")
    func wrongChecksum() throws {
        let server = try WebServer { [content] in WebServer.file(content, tag: "a", $0) }
        let error = #expect(throws: UrsaError.self) {
            try store.pull(url: server.url("d.qcow2"), name: "mine", sha256: String(repeating: "0", count: 64))
        }
        #expect(error?.message.contains(digest) == true)
        #expect(try store.list().isEmpty)
        #expect(part().isEmpty)
        #expect(File.list(folder("store")).allSatisfy { !$0.hasPrefix(".partial") })
    }

    @Test("a server that sends more or less than it announced is told off", arguments: [-1000, 1000])
    func lyingServer(difference: Int) throws {
        let server = try WebServer { [content] request in
            var response = WebServer.file(content, tag: "a", request)
            let announced = content.count + (request.method == "HEAD" ? difference : 0)
            response.headers.append("Content-Length: \(announced)")
            return response
        }
        #expect(throws: UrsaError.self) { try store.pull(url: server.url("d.qcow2"), name: "mine", sha256: digest) }
        #expect(try store.list().isEmpty)
    }

    @Test("a file that is no image is refused after the transfer")
    func noImage() throws {
        let page = Array("<html>not found</html>".utf8)
        let server = try WebServer { WebServer.file(page, tag: "a", $0) }
        let error = #expect(throws: UrsaError.self) {
            try store.pull(url: server.url("d.qcow2"), name: "mine", sha256: hexadecimal(SHA256.digest(page)))
        }
        #expect(error?.code == .invalidSpec)
        #expect(try store.list().isEmpty)
    }

    @Test(
        "http without a checksum, other schemes and malformed checksums are refused before anything is fetched",
        arguments: [
            ("http://127.0.0.1:1/d.qcow2", nil), ("ftp://127.0.0.1/d.qcow2", nil), ("file:///etc/passwd", nil),
            ("-Kx", nil), ("https://127.0.0.1:1/a b", nil), ("https://127.0.0.1:1/d", "abc"),
        ] as [(String, String?)])
    func refused(url: String, sha256: String?) throws {
        let error = #expect(throws: UrsaError.self) { try store.pull(url: url, name: "mine", sha256: sha256) }
        #expect(error?.code == .usage)
    }

    @Test("a file that is not of the format that its recipe says is refused")
    func wrongFormat() throws {
        let server = try WebServer { [content] in WebServer.file(content, tag: "a", $0) }
        let source = ImageRecipe.Source.url(server.url("d"), sha256: digest)
        for (format, isGood) in [(DiskFile.Format.raw, false), (.qcow2, true)] {
            let store = ImageStore(
                folder: folder("store"), recipes: [ImageRecipe(name: "\(format)", source: source, format: format)])
            let image = try? store.ensure("\(format)")
            #expect((image != nil) == isGood)
        }
    }

    @Test("a missing file is told with its address")
    func missing() throws {
        let server = try WebServer { _ in WebServer.Response(status: "404 Not Found") }
        let error = #expect(throws: UrsaError.self) {
            try store.pull(url: server.url("none.qcow2"), name: "mine", sha256: digest)
        }
        #expect(error?.place == server.url("none.qcow2"))
    }

    @Test("what a server says is read with care")
    func headers() {
        let redirected = Download.Description(
            headers:
                "HTTP/1.1 302 Found\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 99\r\n"
                + "Last-Modified: Mon\r\naccept-ranges: bytes\r\n\r\n")
        #expect(redirected.size == 99 && redirected.takesRanges)
        #expect(redirected.tag == "time Mon size 99")
        let weak = Download.Description(headers: "HTTP/1.1 200 OK\r\nETag: W/\"x\"\r\n\r\n")
        #expect(weak.tag == nil && weak.size == nil)
        let huge = Download.Description(headers: "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n")
        #expect(huge.size == nil)
        let hostile = Download.Description(
            headers: "HTTP/1.1 200 OK\r\nETag: \"a\u{1}\u{0}b\"\r\nLast-Modified: \u{7f}\r\n\r\n")
        #expect(hostile.tag == nil && hostile.validator == nil)
    }
}
