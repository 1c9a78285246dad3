import UrsaBase

/// Which part of a spec: an element of a section by its index, a key of it, an item of that key's list, a member of
/// that.
struct SpecPath: Hashable {
    /// The sections of a file, by their keys.
    enum Section: String, CaseIterable { case uplinks, networks, zones, policy, rules, forwards, admins, machines }
    var section: Section
    /// Position in the section; `whole` stands for the section itself.
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

    /// The section itself.
    init(whole section: Section) { self.init(section, SpecPath.whole) }

    /// Index of a section itself.
    static let whole = -1

    /// The part around this one; nil for a whole section.
    var enclosing: SpecPath? {
        var outer = self
        if member != nil { outer.member = nil; return outer }
        if item != nil { outer.item = nil; return outer }
        if key != nil { outer.key = nil; return outer }
        if index != SpecPath.whole { outer.index = SpecPath.whole; return outer }
        return nil
    }

    /// The same part, one member of it.
    func member(_ member: String, item: Int? = nil) -> SpecPath {
        var inner = self
        inner.member = member
        inner.item = item ?? inner.item
        return inner
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
    /// Sections all of which the rule looked at.
    var looksThrough: [SpecPath.Section] = []
    /// The other part that takes part in the fault; its line is told too.
    var against: SpecPath?
    let message: String
    var remedy: String?

    /// As an error, with the caller's word for the place.
    func error(_ code: UrsaError.Code, place: String?) -> UrsaError {
        UrsaError(code, message, place: place, remedy: remedy)
    }
}
