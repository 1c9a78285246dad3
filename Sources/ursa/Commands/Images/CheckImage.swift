import UrsaBase
import UrsaDisk

/// `ursa image check`
enum CheckImage: ImageVerb {
    static let syntax = ImageSyntax(
        verb: "check", abstract: "Look for damage in an image, and mend it if asked.", operands: "FILE",
        options: [
            .format("Format of FILE; qcow2 has something to check"),
            .option("r", "leaks|all", "Mend: clusters that nobody uses, or everything"), .sourceCache, .quiet, .output,
            .json, .share, .allow, .trusted, .imageOptions, .object,
        ],
        discussion: """
            Exit status: 0 in order (after mending, if asked), 1 the check could not be done
            or the command line is wrong, 2 damaged, 3 clusters are lost but nothing is
            damaged, 63 images of this format have nothing to check.

            Parallels, qed, vdi, vhdx and vmdk are checked by qemu-img.

            Examples:
              {} check disk.qcow2
              {} check -r all disk.qcow2
            """)

    /// The status that says that there is nothing to check.
    private static let noChecks: Int32 = 63

    static func run(_ words: ImageWords, _ call: ImageCall) throws(UrsaError) -> Int32 {
        let file = try words.operands("FILE")[0]
        let repair = try repair(words)
        let isJSON = try words.wantsJSON
        let door = ImageDoor(words)
        guard let format = try door.checkable(file, format: words.value("f")) else { return try QEMUImage.handOn(call) }
        guard format == .qcow2 else {
            Screen.fail(
                UrsaError(.unsupported, "images of format \(format.rawValue) have nothing to check", place: file))
            return noChecks
        }
        let image = try door.checked(file, writable: repair != .nothing)
        var result = try image.check(repair: repair)
        if !isJSON, !words.has("q") { for message in result.messages { Screen.hint(printable(message)) } }
        if result.leaksFixed > 0 || result.corruptionsFixed > 0 {
            // What counts is what is left.
            let fixed = (result.leaksFixed, result.corruptionsFixed)
            result = try image.check()
            (result.leaksFixed, result.corruptionsFixed) = fixed
        }
        if repair != .nothing { try image.close() }
        if isJSON { Screen.json(json(result, file)) } else if !words.has("q") { Screen.write(text(result)) }
        return result.failures > 0 ? 1 : result.corruptions > 0 ? 2 : result.leaks > 0 ? 3 : 0
    }

    private static func repair(_ words: ImageWords) throws(UrsaError) -> Qcow2Repair {
        switch words.value("r") {
        case nil: return .nothing
        case "leaks": return .leaks
        case "all": return .all
        case let other?: throw words.wrong("'\(printable(other))' is nothing to mend", "write -r leaks or -r all")
        }
    }

    /// What was found, as `qemu-img` says it.
    private static func text(_ result: Qcow2CheckResult) -> String {
        var text = ""
        if result.corruptionsFixed > 0 || result.leaksFixed > 0 {
            text += "The following inconsistencies were found and repaired:\n\n"
            text += "    \(result.leaksFixed) leaked clusters\n    \(result.corruptionsFixed) corruptions\n\n"
            text += "Double checking the fixed image now...\n"
        }
        if result.isClean { text += "No errors were found on the image.\n" }
        if result.corruptions > 0 {
            text += "\n\(result.corruptions) errors were found on the image.\n"
            text += "Data may be corrupted, or further writes to the image may corrupt it.\n"
        }
        if result.leaks > 0 {
            text += "\n\(result.leaks) leaked clusters were found on the image.\n"
            text += "This means waste of disk space, but no harm to data.\n"
        }
        if result.failures > 0 { text += "\n\(result.failures) internal errors have occurred during the check.\n" }
        if result.totalClusters > 0, result.allocatedClusters > 0 {
            let allocated = result.allocatedClusters
            text +=
                "\(allocated)/\(result.totalClusters) = \(ImageText.percent(allocated, of: result.totalClusters))% allocated, "
            text += "\(ImageText.percent(result.fragmentedClusters, of: allocated))% fragmented, "
            text += "\(ImageText.percent(result.compressedClusters, of: allocated))% compressed clusters\n"
        }
        if result.imageEnd > 0 { text += "Image end offset: \(result.imageEnd)\n" }
        return text
    }

    /// An `ImageCheck` of QEMU's interface: what is zero is left out, but for the errors of the check itself.
    private static func json(_ result: Qcow2CheckResult, _ file: String) -> JSON {
        func counted(_ value: UInt64) -> JSON? { value == 0 ? nil : .integer(Int64(clamping: value)) }
        return .record([
            "image-end-offset": counted(result.imageEnd), "total-clusters": counted(result.totalClusters),
            "check-errors": .integer(Int64(clamping: result.failures)), "corruptions": counted(result.corruptions),
            "leaks": counted(result.leaks), "corruptions-fixed": counted(result.corruptionsFixed),
            "leaks-fixed": counted(result.leaksFixed), "allocated-clusters": counted(result.allocatedClusters),
            "fragmented-clusters": counted(result.fragmentedClusters),
            "compressed-clusters": counted(result.compressedClusters), "filename": .string(file), "format": "qcow2",
        ])
    }
}
