// swift-tools-version: 6.1
import PackageDescription

// A package of its own, because everything in it is built with a sanitizer and coverage counters: `scripts/fuzz`.
// What is fuzzed, and what must hold, stands in FuzzEntries, which is a link into Tests/HostileTests: there the same
// functions replay the corpus in every run of the tests.

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let libraries: [Target.Dependency] = [
    "UrsaBase", "UrsaQMP", "UrsaKeeper", "UrsaModel", "UrsaDisk", "UrsaImages", "UrsaNet", "UrsaVMM",
]
.map { .product(name: $0, package: "ursa") }

let package = Package(
    name: "ursa-fuzz",
    products: [
        // Static, because libFuzzer has a main of its own: SwiftPM can't link such a program, `scripts/fuzz` does.
        .library(name: "UrsaFuzzer", type: .static, targets: ["Fuzzer"])
    ],
    dependencies: [
        .package(name: "ursa", path: "..")
    ],
    targets: [
        .target(name: "FuzzEntries", dependencies: libraries, swiftSettings: strict),
        .target(
            name: "Fuzzer", dependencies: ["FuzzEntries", .product(name: "UrsaBase", package: "ursa")],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
