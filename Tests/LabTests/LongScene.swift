import Testing
import UrsaBase

/// A scene so long that it begins before all tests, on a thread of its own: in their line it would be alone at the end as often as
/// not, and the other processor idle. The test that it belongs to waits for it without holding up another.
final class LongScene: Sendable {
    private struct State {
        var hasBegun = false
        var result: Result<String, any Error>?
        var waiting: [CheckedContinuation<String, any Error>] = []
    }
    private let state = Locked(State())
    private let play: @Sendable () throws -> String

    init(_ play: @escaping @Sendable () throws -> String) { self.play = play }

    /// Begins it; the first call counts.
    func begin() throws {
        guard
            state.withLock({ state in
                defer { state.hasBegun = true }
                return !state.hasBegun
            })
        else { return }
        _ = try OSThread { [self] in
            let result = Result { try play() }
            let waiting = state.withLock { state in
                state.result = result
                return state.waiting
            }
            for one in waiting { one.resume(with: result) }
        }
    }

    /// What it said in the end.
    func end() async throws -> String {
        try begin()
        return try await withCheckedThrowingContinuation { continuation in
            let result = state.withLock { state in
                if state.result == nil { state.waiting.append(continuation) }
                return state.result
            }
            if let result { continuation.resume(with: result) }
        }
    }
}

/// Begins a scene when it is certain that its test will run.
struct BeginsEarly: TestTrait {
    let scene: LongScene
    func prepare(for test: Test) async throws { try scene.begin() }
}

extension Trait where Self == BeginsEarly {
    /// After `.enabled`: the traits are asked in their order, and the first that says no is the last.
    static func beginsEarly(_ scene: LongScene) -> Self { BeginsEarly(scene: scene) }
}
