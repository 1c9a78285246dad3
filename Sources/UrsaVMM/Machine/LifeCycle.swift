/// Something that shall happen to the machine as a whole.
public enum LifeCycleRequest: Sendable, Hashable {
    case reset(MonitorEvent.Cause)
    case powerOff(MonitorEvent.Cause)
    case panicked
    case crashLoaded
    /// A processor can't go on; why.
    case failed(String)
}

/// Who takes requests: never waits, may be called by any thread.
public protocol LifeCycleRequests: AnyObject, Sendable {
    /// Notes a request; it is served soon. The processor that made it runs no further instruction before.
    func request(_ request: LifeCycleRequest)
}
