import Glibc
import UrsaBase

/// A small web server on the loopback address that can be told to misbehave.
final class WebServer: Sendable {
    /// What a client asked for.
    struct Request: Sendable {
        var method = ""
        var path = ""
        /// First byte wanted (`Range: bytes=N-`), nil for all.
        var start: Int?
        var ifRange: String?
    }

    /// What it gets.
    struct Response: Sendable {
        var status = "200 OK"
        var headers: [String] = []
        var body: [UInt8] = []
        /// Bytes of the body after which the connection is cut.
        var cutAfter: Int?
    }

    let port: UInt16
    /// All requests so far.
    let requests = Locked<[Request]>([])
    private let listener: SharedFD
    private let answer: @Sendable (Request) -> Response

    init(_ answer: @escaping @Sendable (Request) -> Response) throws(UrsaError) {
        self.answer = answer
        let fd = OwnedFD(try retrying("make a socket") { socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) })
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(fd.raw, $0, length) }
        }
        try retrying("bind") { bound }
        try retrying("listen") { listen(fd.raw, 16) }
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(fd.raw, $0, &length) }
        }
        port = UInt16(bigEndian: address.sin_port)
        listener = SharedFD(fd)
        _ = try OSThread { [listener, requests, answer] in
            while true {
                let connection = accept(listener.raw, nil, nil)
                guard connection >= 0 else { return }
                WebServer.serve(OwnedFD(connection), requests, answer)
            }
        }
    }

    deinit { shutdown(listener.raw, Int32(SHUT_RDWR)) }

    func url(_ path: String) -> String { "http://127.0.0.1:\(port)/\(path)" }

    /// A server that gives one file, whole or in part, as a good server does.
    static func file(_ content: [UInt8], tag: String, _ request: Request) -> Response {
        var response = Response(headers: ["ETag: \"\(tag)\"", "Accept-Ranges: bytes"], body: content)
        if let start = request.start, start <= content.count, request.ifRange ?? "\"\(tag)\"" == "\"\(tag)\"" {
            response.status = "206 Partial Content"
            response.headers.append("Content-Range: bytes \(start)-\(content.count - 1)/\(content.count)")
            response.body = Array(content[start...])
        }
        return response
    }

    private static func serve(
        _ connection: consuming OwnedFD, _ requests: Locked<[Request]>, _ answer: (Request) -> Response
    ) {
        var head: [UInt8] = []
        var byte: [UInt8] = [0]
        while !head.suffix(4).elementsEqual([13, 10, 13, 10]) {
            guard read(connection.raw, &byte, 1) == 1, head.count < 65536 else { return }
            head.append(byte[0])
        }
        var request = Request()
        for (index, line) in String(decoding: head, as: UTF8.self).split(whereSeparator: \.isNewline).enumerated() {
            if index == 0 {
                let words = line.split(separator: " ")
                guard words.count == 3 else { return }
                (request.method, request.path) = (String(words[0]), String(words[1]))
            } else if line.lowercased().hasPrefix("range: bytes=") {
                request.start = Int(line.dropFirst(13).prefix { $0.isNumber })
            } else if line.lowercased().hasPrefix("if-range: ") {
                request.ifRange = String(line.dropFirst(10))
            }
        }
        requests.withLock { $0.append(request) }
        let response = answer(request)
        var headers = response.headers
        if !headers.contains(where: { $0.hasPrefix("Content-Length") }) {
            headers.append("Content-Length: \(response.body.count)")
        }
        let text =
            "HTTP/1.1 \(response.status)\r\n" + (headers + ["Connection: close"]).map { $0 + "\r\n" }.joined() + "\r\n"
        var bytes = Array(text.utf8)
        if request.method != "HEAD" { bytes += response.body.prefix(response.cutAfter ?? .max) }
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                send(connection.raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }
}
