extension UrsaError {
    /// The form in which errors travel between Ursa's own processes.
    public var json: JSON {
        .record([
            "code": .string(code.description), "message": .string(message), "place": place.map(JSON.string),
            "remedy": remedy.map(JSON.string),
        ])
    }

    /// Reads an error that another process sent; what is strange becomes `.io`.
    public init(json: JSON) {
        let codes: [Code] = [
            .usage, .invalidSpec, .notFound, .conflict, .permission, .io, .timeout, .unsupported, .interrupted, .bug,
        ]
        let word = json["code"]?.string
        self.init(
            codes.first { $0.description == word } ?? .io, json["message"]?.string ?? "the other process failed",
            place: json["place"]?.string, remedy: json["remedy"]?.string)
    }
}
