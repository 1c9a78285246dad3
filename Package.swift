// swift-tools-version: 6.1
import PackageDescription

// Imports go down only; scripts/check-imports holds the graph that docs/architecture.md draws.
// Everything below UrsaModel builds without any package, so the engine side compiles in seconds.

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
    name: "ursa",
    products: [
        .executable(name: "ursa", targets: ["ursa"]),
        .executable(name: "ursa-keeper", targets: ["ursa-keeper"]),
        .executable(name: "ursa-rootless", targets: ["ursa-rootless"]),
        .executable(name: "ursa-vmm", targets: ["ursa-vmm"]),
        .library(name: "UrsaBase", targets: ["UrsaBase"]),
        .library(name: "UrsaModel", targets: ["UrsaModel"]),
        .library(name: "UrsaNet", targets: ["UrsaNet"]),
        .library(name: "UrsaQMP", targets: ["UrsaQMP"]),
        .library(name: "UrsaKeeper", targets: ["UrsaKeeper"]),
        .library(name: "UrsaKVM", targets: ["UrsaKVM"]),
        .library(name: "UrsaVMM", targets: ["UrsaVMM"]),
        .library(name: "UrsaDisk", targets: ["UrsaDisk"]),
        .library(name: "UrsaImages", targets: ["UrsaImages"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        // Typed ground: no packages, no Foundation.
        .target(name: "CLinux"),
        .target(name: "UrsaBase", dependencies: ["CLinux"], swiftSettings: strict),
        .target(name: "UrsaQMP", dependencies: ["UrsaBase"], swiftSettings: strict),
        .target(name: "UrsaKeeper", dependencies: ["UrsaBase", "UrsaQMP", "CLinux"], swiftSettings: strict),
        .target(name: "UrsaKVM", dependencies: ["UrsaBase", "CLinux"], swiftSettings: strict),
        .target(name: "UrsaDoctor", dependencies: ["UrsaKVM", "UrsaBase", "CLinux"], swiftSettings: strict),
        .target(name: "UrsaFirewall", dependencies: ["UrsaBase"], swiftSettings: strict),
        .target(name: "UrsaNet", dependencies: ["UrsaFirewall", "UrsaBase", "CLinux"], swiftSettings: strict),
        .target(name: "UrsaNetWatch", dependencies: ["UrsaBase", "CLinux"], swiftSettings: strict),
        .systemLibrary(name: "CCompression"),
        .target(name: "UrsaDisk", dependencies: ["UrsaBase", "CLinux", "CCompression"], swiftSettings: strict),
        .target(
            name: "UrsaVMM", dependencies: ["UrsaKVM", "UrsaDisk", "UrsaQMP", "UrsaBase", "CLinux"],
            swiftSettings: strict),
        .target(name: "UrsaRootless", dependencies: ["UrsaNet", "UrsaBase", "CLinux"], swiftSettings: strict),

        // What a person may say, and the parts that act on it.
        .target(
            name: "UrsaModel",
            dependencies: ["UrsaFirewall", "UrsaBase", .product(name: "Yams", package: "Yams")],
            swiftSettings: strict),
        .target(
            name: "UrsaQEMU", dependencies: ["UrsaModel", "UrsaKeeper", "UrsaQMP", "UrsaBase"], swiftSettings: strict),
        .target(
            name: "UrsaImages", dependencies: ["UrsaModel", "UrsaDisk", "UrsaBase", "CLinux"], swiftSettings: strict),

        // Decides.
        .target(
            name: "UrsaControl",
            dependencies: [
                "UrsaModel", "UrsaQEMU", "UrsaImages", "UrsaNet", "UrsaNetWatch", "UrsaFirewall", "UrsaRootless",
                "UrsaKeeper", "UrsaQMP", "UrsaDoctor", "UrsaKVM", "UrsaBase", "CLinux",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: strict),

        // Faces and small programs.
        .executableTarget(
            name: "ursa",
            dependencies: [
                "UrsaControl", "UrsaModel", "UrsaImages", "UrsaDisk", "UrsaNet", "UrsaFirewall", "UrsaQEMU",
                "UrsaKeeper",
                "UrsaDoctor", "UrsaBase", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "ursa-keeper", dependencies: ["UrsaKeeper", "UrsaNetWatch", "UrsaBase"], swiftSettings: strict),
        .executableTarget(name: "ursa-vmm", dependencies: ["UrsaVMM", "UrsaBase"], swiftSettings: strict),
        .executableTarget(name: "ursa-rootless", dependencies: ["UrsaRootless", "UrsaBase"], swiftSettings: strict),

        // Tests: unit tests per target, and the suites that drive the real programs.
        .testTarget(name: "UrsaBaseTests", dependencies: ["UrsaBase"], swiftSettings: strict),
        .testTarget(
            name: "UrsaModelTests", dependencies: ["UrsaModel", "UrsaFirewall", "UrsaBase"], exclude: ["Fixtures"],
            swiftSettings: strict),
        .testTarget(
            name: "UrsaKeeperTests", dependencies: ["TestSupport", "UrsaKeeper", "UrsaQMP", "UrsaBase"],
            swiftSettings: strict),
        .testTarget(
            name: "UrsaQEMUTests",
            dependencies: ["TestSupport", "UrsaQEMU", "UrsaModel", "UrsaKeeper", "UrsaQMP", "UrsaBase"],
            swiftSettings: strict),
        .testTarget(
            name: "UrsaImagesTests", dependencies: ["UrsaImages", "UrsaModel", "UrsaBase"], swiftSettings: strict),
        .testTarget(
            name: "UrsaDiskTests", dependencies: ["TestSupport", "UrsaDisk", "UrsaBase", "CLinux"],
            swiftSettings: strict),
        .testTarget(name: "UrsaFirewallTests", dependencies: ["UrsaFirewall", "UrsaBase"], swiftSettings: strict),
        .testTarget(name: "UrsaRootlessTests", dependencies: ["UrsaRootless", "UrsaBase"], swiftSettings: strict),
        .testTarget(
            name: "UrsaNetTests", dependencies: ["TestSupport", "UrsaNet", "UrsaFirewall", "UrsaBase", "CLinux"],
            swiftSettings: strict),
        .testTarget(
            name: "UrsaNetWatchTests", dependencies: ["UrsaNetWatch", "UrsaBase", "CLinux"], swiftSettings: strict),
        .testTarget(
            name: "UrsaDoctorTests", dependencies: ["UrsaDoctor", "UrsaKVM", "UrsaBase", "CLinux"],
            swiftSettings: strict),
        .testTarget(name: "UrsaKVMTests", dependencies: ["UrsaKVM", "UrsaBase", "CLinux"], swiftSettings: strict),
        .testTarget(
            name: "UrsaVMMTests",
            dependencies: ["TestSupport", "UrsaVMM", "UrsaKVM", "UrsaDisk", "UrsaQMP", "UrsaBase", "CLinux"],
            swiftSettings: strict),
        .testTarget(
            name: "UrsaControlTests",
            dependencies: [
                "UrsaControl", "UrsaModel", "UrsaImages", "UrsaNet", "UrsaFirewall", "UrsaBase",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: strict),
        .target(name: "TestSupport", dependencies: ["UrsaBase"], path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(
            name: "CommandTests", dependencies: ["TestSupport", "ursa", "UrsaBase", "CLinux"], swiftSettings: strict),
        .testTarget(
            name: "HostTests",
            dependencies: ["TestSupport", "UrsaBase", "UrsaRootless", "ursa", "ursa-keeper", "ursa-rootless"],
            swiftSettings: strict),
        .testTarget(
            name: "LabTests", dependencies: ["TestSupport", "UrsaBase", "ursa", "ursa-keeper", "ursa-vmm"],
            exclude: ["Scenes"], swiftSettings: strict),
        .testTarget(
            name: "HostileTests",
            dependencies: [
                "TestSupport", "UrsaModel", "UrsaImages", "UrsaDisk", "UrsaNet", "UrsaFirewall", "UrsaKeeper",
                "UrsaVMM", "UrsaQMP", "UrsaBase", "CLinux",
                "ursa",
                "ursa-keeper",
            ],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
