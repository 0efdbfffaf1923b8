// swift-tools-version: 6.0
import PackageDescription

// On Apple's platforms the engine comes as an XCFramework (`xcframework.sh`), whose path is given by
// ONSITE_XCFRAMEWORK; elsewhere as the library that cargo built, in a folder given to the linker.
let engine: Target =
    if let framework = Context.environment["ONSITE_XCFRAMEWORK"] {
        .binaryTarget(name: "OnsiteFFI", path: framework)
    } else {
        .systemLibrary(name: "OnsiteFFI", path: "Sources/OnsiteFFI")
    }

let package = Package(
    name: "Onsite",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "OnsiteKit", targets: ["OnsiteKit"])],
    targets: [
        engine,
        // Generated code, which is not written for mode 6.
        .target(name: "OnsiteEngine", dependencies: ["OnsiteFFI"], swiftSettings: [.swiftLanguageMode(.v5)]),
        .target(name: "OnsiteKit", dependencies: ["OnsiteEngine"]),
        .executableTarget(name: "OnsiteBench", dependencies: ["OnsiteKit"]),
        .testTarget(name: "OnsiteKitTests", dependencies: ["OnsiteKit"]),
    ],
    swiftLanguageModes: [.v6]
)
