import UrsaBase
import UrsaImages
import UrsaModel

/// The catalogue of image names: the one built in, then the host's, then the home's; later ones win.
enum Catalogues {
    static func recipes(_ home: Home) throws(UrsaError) -> [ImageRecipe] {
        var catalogue = Catalogue.builtIn
        for path in ["/etc/ursa/catalogue.yaml", home.folder + "/catalogue.yaml"] where File.exists(path) {
            catalogue = catalogue.merging(try Catalogue.read(File.readText(path, limit: 1 << 20), file: path))
        }
        return catalogue.entries.map { entry in
            let source: ImageRecipe.Source =
                switch entry.source {
                case .builder(let name): .builder(name)
                case .url(let address, let sha256): .url(address, sha256: sha256)
                }
            let format: DiskFile.Format? =
                switch entry.format {
                case .qcow2: .qcow2
                case .raw: .raw
                case nil: nil
                }
            return ImageRecipe(
                name: entry.name, source: source, format: format, readyPort: entry.readyPort, user: entry.user)
        }
    }
}
