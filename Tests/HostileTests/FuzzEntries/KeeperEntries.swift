import Glibc
import UrsaBase

@testable import UrsaKeeper

extension Entry {
    /// The keeper's socket and the files in a machine's folder.
    static let keeper: [Entry] = [
        Entry("ControlConnection", limit: 2048) { (bytes) throws(Violation) in
            do throws(UrsaError) { try ControlClient.talk(bytes) } catch {
                throw Violation(description: "\(error)")
            }
        },

        Entry("KeeperLaunch", limit: 4096) { (bytes) throws(Violation) in
            guard let json = try accepted({ () throws(UrsaError) in try JSON.parse(bytes) }),
                let launch = try accepted({ () throws(UrsaError) in try KeeperLaunch(json: json) })
            else { return }
            let again = try must("a launch does not read back") { () throws(UrsaError) in
                try KeeperLaunch(json: JSON.parse(launch.json.pretty))
            }
            try need(again == launch, "a launch reads back as another: \(launch.json.text)")
            for count in [0, 1, 2, 64, Int.max] {
                let delay = launch.pace.delay(count)
                try need((0...86400).contains(delay), "restart \(count) comes after \(delay) s")
            }
        },

        Entry("MachineStatus") { (bytes) throws(Violation) in
            guard let json = try accepted({ () throws(UrsaError) in try JSON.parse(bytes) }) else { return }
            let error = UrsaError(json: json)
            try need(UrsaError(json: error.json) == error, "an error reads back as another: \(error)")
            guard let status = try accepted({ () throws(UrsaError) in try MachineStatus(json: json) }) else { return }
            let again = try must("a status does not read back") { () throws(UrsaError) in
                try MachineStatus(json: JSON.parse(status.json.pretty))
            }
            try need(again == status, "a status reads back as another: \(status.json.text)")
            // No processes of another boot are alive, whatever the file says.
            if status.boot != bootIdentifier() {
                try need(status.judged().state == .ended, "a machine of an earlier boot goes on")
            }
            for time in [status.started, status.ended].compactMap({ $0 }) {
                try need(timestamp(time).utf8.count == 24, "\(time) gives the time \(timestamp(time))")
            }
        },
    ]
}

/// A client of the keeper's socket that says the input, then nothing more.
private enum ControlClient {
    static func talk(_ bytes: [UInt8]) throws(UrsaError) {
        var ends: [Int32] = [-1, -1]
        try retrying("make a pair of sockets") {
            socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends)
        }
        let client = OwnedFD(ends[0])
        let server = OwnedFD(ends[1])
        try client.writeAll(bytes, to: "the keeper")
        try client.setNonBlocking()
        shutdown(client.raw, Int32(SHUT_WR))

        let loop = try EventLoop()
        var requests = 0
        var isOver = false
        var isReleased = false
        let connection = try ControlConnection(loop: loop, fd: server) { connection, request in
            requests += 1
            switch request["command"]?.string {
            case "status": connection.finish(.success(["state": "running"]))
            case "wait":
                connection.progress("waiting")
                // Answered later, as the end of a machine is.
                loop.after(seconds: 0) { connection.finish(.success(request)) }
            case "console":
                isReleased = true
                _ = connection.release(answer: ["ok": [:]])
            case let word: connection.finish(.failure(UrsaError(.usage, "no command \(word ?? "at all")")))
            }
        }
        connection.onClose = { isOver = true }
        var rounds = 0
        while !isOver, rounds <= bytes.count + 4 {
            loop.after(seconds: 0) { loop.stop() }
            try loop.run()
            rounds += 1
        }
        if !isOver { connection.close() }
        guard rounds <= bytes.count + 4 else {
            throw UrsaError(.bug, "the connection does not end: \(requests) requests in \(rounds) rounds")
        }
        try check(client, requests, isReleased)
    }

    private static func check(_ client: borrowing OwnedFD, _ requests: Int, _ isReleased: Bool) throws(UrsaError) {
        var lines = LineBuffer(limit: 1 << 20)
        var buffer = [UInt8](repeating: 0, count: 65536)
        var answers = 0
        while case .bytes(let count) = receiveSome(client.raw, into: &buffer) {
            lines.append(buffer[..<count])
            while let line = try lines.next() {
                let answer = try JSON.parse(line)
                if answer["progress"] != nil { continue }
                guard answer["ok"] != nil || answer["error"] != nil else {
                    throw UrsaError(.bug, "this is no answer: \(answer.text)")
                }
                answers += 1
            }
        }
        // One more when the last line was no request.
        guard answers == requests || (answers == requests + 1 && !isReleased) else {
            throw UrsaError(.bug, "\(requests) requests have \(answers) answers")
        }
    }
}
