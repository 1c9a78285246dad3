import UrsaBase
import UrsaDisk

/// `ursa image info`
enum ImageInformation: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "info", abstract: "Say what an image is: format, sizes, snapshots, what it is made over.",
        operands: "FILE",
        options: [
            .format(), .flag(nil, "backing-chain", "Tell of all images below, too"), .output, .json, .share, .allow,
            .trusted, .imageOptions, .object,
        ],
        discussion: """
            Of formats other than raw and qcow2, qemu-img knows more and is asked when it is
            installed.

            Examples:
              {} info disk.qcow2
              {} info --output=json --backing-chain top.qcow2
            """)

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let file = try words.operands("FILE")[0]
        let isJSON = try words.wantsJSON
        if try ImageDoor.mustTake(words, read: [(file, words.value("f"))]) { return try QEMUImage.handOn(call) }
        let door = ImageDoor(words)
        var images: [any DiskReader] = []
        if words.has("backing-chain") {
            var next: (any DiskReader)? = try door.reader(file, format: words.value("f"))
            while let image = next {
                images.append(image)
                next = image.backing
            }
        } else {
            images = [try door.alone(file, format: words.value("f"))]
        }
        if !images[0].format.isWritable, Path.program("qemu-img") != nil { return try QEMUImage.handOn(call) }
        let facts = try images.enumerated().map { (index, image) throws(UrsaError) in
            try ImageFacts(image, name: index == 0 ? file : image.name)
        }
        if isJSON {
            let all = facts.map(\.json)
            Screen.json(words.has("backing-chain") ? .array(all) : all[0])
        } else {
            Screen.write(facts.map(\.text).joined(separator: "\n"))
        }
        return 0
    }
}
