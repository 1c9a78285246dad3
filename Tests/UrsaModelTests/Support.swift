import Glibc
import Testing
import UrsaBase

@testable import UrsaModel

/// Folder of the fixtures, beside this file.
let fixtures = Path.parent(#filePath) + "/Fixtures"

/// The texts of the fixtures of one folder, by name.
func fixtureTexts(_ folder: String) -> [(name: String, text: String)] {
    File.list("\(fixtures)/\(folder)").filter { $0.hasSuffix(".yaml") }.map { name in
        (name, (try? File.readText("\(fixtures)/\(folder)/\(name)")) ?? "")
    }
}

/// The errors of a text, empty when it is a fine spec.
func errors(_ text: String) -> [UrsaError] {
    do throws(UrsaError) {
        _ = try SpecReader.read(text, file: "f.yaml")
        return []
    } catch { return error.flattened }
}
