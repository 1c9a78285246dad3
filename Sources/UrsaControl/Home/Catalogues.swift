import UrsaBase
import UrsaModel

/// The catalogue of image names: the one built in, then the host's, then the home's; later ones win.
enum Catalogues {
    static func read(_ home: Home) throws(UrsaError) -> Catalogue {
        var result = Catalogue.builtIn
        for path in ["/etc/ursa/catalogue.yaml", home.folder + "/catalogue.yaml"] where File.exists(path) {
            result = result.merging(try Catalogue.read(File.readText(path, limit: 1 << 20), file: path))
        }
        return result
    }
}
