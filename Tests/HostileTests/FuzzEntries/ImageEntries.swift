import CLinux
import Glibc
import UrsaBase

@testable import UrsaImages

extension Entry {
    /// Files and answers from which images are made.
    static let images: [Entry] = [
        Entry("BootImage", limit: 2048) { (bytes) throws(Violation) in
            // The boot sector and its marks are given, so that the search is about what they lead to.
            var sector = [UInt8](repeating: 0, count: 0x260)
            for (index, byte) in bytes.prefix(0x70).enumerated() { sector[0x1f0 + index] = byte }
            let image = Array(sector[..<0x1fe] + [0x55, 0xaa, 0, 0] + Array("HdrS".utf8) + sector[0x206...])
            for bytes in [bytes, image + bytes.dropFirst(0x70)] {
                guard let image = try accepted({ () throws(UrsaError) in try BootImage(bytes) }) else { continue }
                try need(
                    image.payload.lowerBound >= 1024 && image.payload.upperBound <= bytes.count
                        && !image.payload.isEmpty,
                    "the payload \(image.payload) is not in a file of \(bytes.count) bytes")
            }
        },

        Entry("ELF", limit: 4096) { (bytes) throws(Violation) in
            let names = KernelModules.dependencies(bytes)
            try need(names.reduce(0) { $0 + $1.utf8.count } <= 3 * bytes.count, "more names than bytes")
            try need(names.allSatisfy { !$0.isEmpty && !$0.contains(",") }, "these are no names: \(names)")
            try withFile(bytes) { path in _ = BootImage.hasDirectEntry(path) }
        },

        Entry("DiskHeader", limit: 512) { (bytes) throws(Violation) in
            let size = try accepted { () throws(UrsaError) in try DiskProbe.qcow2Size(bytes) }
            if let size {
                try need(size.bytes > 0 && bytes.count >= 72, "a disk of \(size) in \(bytes.count) bytes")
                try need(bytes[8..<16].allSatisfy { $0 == 0 }, "an image over another file was accepted")
                if bytes[7] == 3 { try need(bytes[79] & 4 == 0, "an image with a data file elsewhere was accepted") }
            }
            var probed: DiskFile?
            try withFile(bytes) { (path) throws(Violation) in
                probed = try accepted { () throws(UrsaError) in try DiskProbe.probe(path) }
            }
            // The file's name says nothing, so it is a plain qcow2 image or none at all.
            let isQcow2 = bytes.starts(with: [0x51, 0x46, 0x49, 0xfb])
            try need(
                probed?.virtualSize == (isQcow2 ? size : nil), "the probe sees \(probed.map { "\($0)" } ?? "nothing")")
        },

        Entry("Package") { (bytes) throws(Violation) in
            let text = String(decoding: bytes, as: UTF8.self)
            guard let package = DebianPackages.Candidate(control: text) else { return }
            for word in [package.version] + package.depends {
                let isFine = word.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "/") }
                try need(!word.isEmpty && isFine, "\(word) would be part of a path")
            }
            try need(package.depends.allSatisfy { !$0.hasPrefix("-") }, "\(package.depends): one would be an option")
        },

        Entry("ResponseHeaders") { (bytes) throws(Violation) in
            let text = String(decoding: bytes, as: UTF8.self)
            let answer = Download.Description(headers: text)
            try need(answer.size ?? 0 <= 1 << 50, "a file of \(answer.size ?? 0) bytes")
            for word in [answer.tag, answer.validator].compactMap({ $0 }) {
                let isLine = word.utf8.allSatisfy { $0 >= 32 && $0 != 127 }
                try need(isLine, "\(word.debugDescription) would be sent back as more than one header")
            }
        },

        Entry("ImageRecord", limit: 2048) { (bytes) throws(Violation) in
            guard let json = try accepted({ () throws(UrsaError) in try JSON.parse(bytes) }),
                let image = try accepted({ () throws(UrsaError) in try Image(json: json) })
            else { return }
            let again = try must("an image does not read back") { () throws(UrsaError) in
                try Image(json: JSON.parse(image.json.pretty))
            }
            try need(again == image, "an image reads back as another: \(image.json.text)")
        },
    ]
}

/// Calls `body` with the path of a file of these bytes, which is in memory and has no other name.
private func withFile(_ bytes: [UInt8], _ body: (String) throws(Violation) -> Void) throws(Violation) {
    let fd = OwnedFD(clinux_memfd("fuzz"))
    do throws(UrsaError) { try fd.writeAll(bytes, to: "memory") } catch { throw Violation(description: "\(error)") }
    try body("/proc/self/fd/\(fd.raw)")
}
