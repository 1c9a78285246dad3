import UrsaBase

extension UrsaError {
    /// The form in which errors travel over the keeper's socket.
    var json: JSON {
        .record([
            "code": .string(code.description), "message": .string(message), "place": place.map(JSON.string),
            "remedy": remedy.map(JSON.string),
        ])
    }

    /// Reads an error from the keeper's socket; what is strange becomes `.io`.
    init(json: JSON) {
        let codes: [Code] = [
            .usage, .invalidSpec, .notFound, .conflict, .permission, .io, .timeout, .unsupported, .interrupted, .bug,
        ]
        let word = json["code"]?.string
        self.init(
            codes.first { $0.description == word } ?? .io, json["message"]?.string ?? "the keeper failed",
            place: json["place"]?.string, remedy: json["remedy"]?.string)
    }
}
