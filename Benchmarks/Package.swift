// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that nobody who only uses Ursa builds it. It drives the programs as a person would and
// shares nothing with them but the ground: starting programs, files, clocks.

let package = Package(
    name: "ursa-bench",
    dependencies: [
        .package(name: "ursa", path: "..")
    ],
    targets: [
        .executableTarget(
            name: "ursa-bench",
            dependencies: [
                .product(name: "UrsaBase", package: "ursa"), .product(name: "UrsaNet", package: "ursa"),
            ],
            swiftSettings: [
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("InternalImportsByDefault"),
            ])
    ],
    swiftLanguageModes: [.v6]
)
