/// One question about the host. A new one is one file here and one line in `Doctor.checks`.
public protocol Check: Sendable {
    /// The word under which its findings stand.
    var topic: String { get }
    /// Looks at the host; changes nothing.
    func examine(_ host: HostFacts) -> [Finding]
}

extension Check {
    func ok(_ message: String) -> Finding { Finding(.ok, topic, message) }
    func note(_ message: String, remedy: String? = nil) -> Finding { Finding(.note, topic, message, remedy: remedy) }
    func warning(_ message: String, remedy: String? = nil) -> Finding {
        Finding(.warning, topic, message, remedy: remedy)
    }
    func problem(_ message: String, remedy: String? = nil) -> Finding {
        Finding(.problem, topic, message, remedy: remedy)
    }
}
