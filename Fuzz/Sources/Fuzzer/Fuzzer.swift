import Glibc
import UrsaBase

@testable import FuzzEntries

// The two functions that libFuzzer calls (llvm.org/docs/LibFuzzer.html). The entry to run is named by the environment,
// so that one program serves all.

/// The entry named by `URSA_FUZZ_ENTRY`.
private let entry: Entry = {
    let name = getenv("URSA_FUZZ_ENTRY").map { String(cString: $0) } ?? ""
    if let found = Entry.all.first(where: { $0.name == name }) { return found }
    for entry in Entry.all { print("\(entry.name) \(entry.limit) \(entry.walk == nil ? "inputs" : "steps")") }
    exit(2)
}()

/// Walks so many steps through the entry's device model instead, and ends the program: `URSA_FUZZ_STEPS`. The number of the
/// piece that is tried stands in the file `URSA_FUZZ_PIECE`, from which a walk also goes on.
private func walk() {
    guard let steps = getenv("URSA_FUZZ_STEPS").flatMap({ Int(String(cString: $0)) }),
        let file = getenv("URSA_FUZZ_PIECE").map({ String(cString: $0) })
    else { return }
    let first = getenv("URSA_FUZZ_FIRST").flatMap { UInt64(String(cString: $0)) } ?? 0
    let start = Deadline.now
    do throws(Violation) {
        let held = try Walk.run(entry, first: first, steps: steps) { number in
            // A piece that takes minutes hangs; the signal ends the program.
            alarm(300)
            try? File.replace(file, text: "\(number)\n", mode: 0o644)
        }
        print(
            "\(entry.name): \(steps) steps in \(Int(Deadline.now.seconds(since: start))) s, \(held.descriptors) descriptors, "
                + "\(held.threads) threads, \(held.memory) MiB")
        exit(0)
    } catch {
        print("\(entry.name): \(error)")
        exit(1)
    }
}

/// Called once, before everything else: ends the program when no entry is named, after a list of them, their limits, and
/// whether they can be walked through.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_ count: UnsafeMutableRawPointer?, _ arguments: UnsafeMutableRawPointer?) -> Int32 {
    _ = entry
    walk()
    return 0
}

/// Called with each input; a broken rule ends the program, as a trap does.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    do throws(Violation) { try entry.run(bytes) } catch {
        print("\(entry.name): \(error)")
        fflush(nil)
        abort()
    }
    return 0
}
