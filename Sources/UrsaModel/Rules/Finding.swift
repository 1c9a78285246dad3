import UrsaBase

/// Which part of a spec: a network or machine by its index, a key of it, an item of that key's list, a member of that.
struct SpecPath: Hashable {
    enum Section: String { case networks, machines }
    var section: Section
    var index: Int
    var key: String?
    var item: Int?
    var member: String?

    init(_ section: Section, _ index: Int, _ key: String? = nil, item: Int? = nil, member: String? = nil) {
        self.section = section
        self.index = index
        self.key = key
        self.item = item
        self.member = member
    }

    /// The part around this one; nil for a whole network or machine.
    var enclosing: SpecPath? {
        var outer = self
        if member != nil { outer.member = nil; return outer }
        if item != nil { outer.item = nil; return outer }
        if key != nil { outer.key = nil; return outer }
        return nil
    }

    func with(_ key: String, item: Int? = nil, member: String? = nil) -> SpecPath {
        SpecPath(section, index, key, item: item, member: member)
    }
}

/// A rule that a spec breaks, told by the part that breaks it; each caller has its own words for places.
struct Finding {
    /// The part that is wrong.
    let path: SpecPath
    /// Parts that the rule looked at too: where one of them could not be read, the finding says nothing new.
    var looksAt: [SpecPath] = []
    let message: String
    var remedy: String?

    /// As an error, with the caller's word for the place.
    func error(_ code: UrsaError.Code, place: String?) -> UrsaError {
        UrsaError(code, message, place: place, remedy: remedy)
    }
}
