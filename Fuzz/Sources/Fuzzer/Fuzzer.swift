import Glibc

@testable import FuzzEntries

// The two functions that libFuzzer calls (llvm.org/docs/LibFuzzer.html). The entry to run is named by the environment,
// so that one program serves all.

/// The entry named by `URSA_FUZZ_ENTRY`.
private let entry: Entry = {
    let name = getenv("URSA_FUZZ_ENTRY").map { String(cString: $0) } ?? ""
    if let found = Entry.all.first(where: { $0.name == name }) { return found }
    for entry in Entry.all { print("\(entry.name) \(entry.limit)") }
    exit(2)
}()

/// Called once, before everything else: ends the program when no entry is named, after a list of them and their limits.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_ count: UnsafeMutableRawPointer?, _ arguments: UnsafeMutableRawPointer?) -> Int32 {
    _ = entry
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
