import CLinux
import Glibc
import UrsaBase

/// Connects for a guest, outside of the monitor: a process that can do nothing else.
///
/// The monitor makes no socket after its start, so that whoever breaks into it reaches nobody. Connections out of the
/// guest come from here: the monitor asks for a port, the broker connects to the socket of that name in its folder and
/// sends the connection back (unix(7), SCM_RIGHTS). A port is a number, so no message can name anything outside.
///
/// It is a child of the monitor with the monitor's own user, and none of its memory, devices, disks and sockets: it is
/// forked before they are there. It waits for nothing but the next message (a unix socket connects at once or not at
/// all), serves one message at a time, and keeps no state. It ends with the monitor, whose end it sees in three ways: the
/// socket ends, an answer can't be sent, the kernel kills it.
public enum VsockBroker {
    /// What is asked: a connection to a port. Answers carry the same number.
    struct Request {
        var number: UInt32 = 0
        var port: UInt32 = 0
    }

    /// What is answered: an error of errno(3), or 0 with a connected, nonblocking stream socket.
    struct Answer {
        var number: UInt32 = 0
        var error: UInt32 = 0
    }

    /// Starts the broker and returns the socket to ask it by.
    ///
    /// - Parameter folder: where sockets named by port numbers are; closed here.
    /// - Precondition: the process has a single thread.
    static func start(folder: consuming OwnedFD) throws(UrsaError) -> OwnedFD {
        let pair = try messagePair()
        let ours = OwnedFD(pair.monitor)
        let its = OwnedFD(pair.broker)
        let child = try check(clinux_fork_helper(), "start the broker of vsock connections")
        guard child == 0 else { return ours }
        // Its keeper finds an engine by the environment, and the broker is none.
        clinux_forget_environment()
        _ = clinux_set_process_name("vsock broker")
        guard clinux_close_all_but(its.raw, folder.raw) >= 0 else { _exit(1) }
        Sandbox.enterBroker()
        serve(its.raw, folder: folder.raw)
        _exit(0)
    }

    /// The two ends of a socket for requests and answers, which are the caller's.
    static func messagePair() throws(UrsaError) -> (monitor: Int32, broker: Int32) {
        var fds: [Int32] = [-1, -1]
        try check(clinux_message_pair(&fds), "make a socket pair")
        return (fds[0], fds[1])
    }

    /// Answers requests until the other side is gone or says what is no request.
    static func serve(_ socket: Int32, folder: Int32) {
        while true {
            var request = Request()
            var stray: Int32 = -1
            let size = UInt32(MemoryLayout<Request>.size)
            let count = clinux_receive_message(socket, &request, size, &stray, 1)
            if stray >= 0 { close(stray) }
            guard count == Int32(size) else { return }
            let connection = clinux_connect_in(folder, "\(request.port)")
            var answer = Answer(number: request.number, error: connection < 0 ? UInt32(-connection) : 0)
            let sent = clinux_send_message(
                socket, &answer, UInt32(MemoryLayout<Answer>.size), max(connection, -1), 1)
            if connection >= 0 { close(connection) }
            guard sent >= 0 else { return }
        }
    }
}
