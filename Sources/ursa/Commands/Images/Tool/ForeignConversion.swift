import UrsaBase
import UrsaDisk

/// Conversions that `qemu-img` does, into a name of their own first where that is possible.
enum ForeignConversion {
    /// Formats that are one file and don't name it inside.
    private static let singleFiles: Set<String> = [
        "raw", "qcow2", "qcow", "qed", "vdi", "vpc", "vhdx", "parallels", "luks",
    ]

    /// Runs a conversion; returns `qemu-img`'s status.
    static func run(
        _ call: ImageCall, _ words: ImageWords, target: String, format: String
    ) throws(UrsaError) -> Int32 {
        let inPlace =
            words.has("n") || words.has("target-image-opts") || QEMUImage.isProtocol(target)
            || !singleFiles.contains(format) || !ImageCopy.isReplaceable(QEMUImage.path(target))
        guard !inPlace, let index = call.words.lastIndex(of: target) else { return try QEMUImage.handOn(call) }
        let file = try UnfinishedFile(QEMUImage.path(target))
        var changed = call.words
        changed[index] = file.path
        let status = try QEMUImage.run(changed)
        guard status == 0 else { return status }
        try file.finish(durable: false)
        if Screen.isJSON {
            Screen.json(.record(["filename": .string(target), "format": .string(format)]))
        }
        return 0
    }
}
