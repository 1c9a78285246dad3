import Glibc
import Testing
import UrsaBase
import UrsaFirewall

@testable import UrsaNet

@Suite("the map of the networks")
struct MapTests {
    static let maps = ["quickstart", "laptop", "office"]

    private func map(_ name: String) throws -> NetworkMap {
        switch name {
        case "quickstart": try MapFixtures.quickstart()
        case "laptop": try MapFixtures.laptop()
        default: try MapFixtures.office()
        }
    }

    @Test("no box covers another, and all are inside the picture", arguments: maps)
    func boxes(_ name: String) throws {
        let picture = MapPicture(try map(name))
        let boxes = picture.pen.boxes
        #expect(boxes.count > 4)
        for (index, box) in boxes.enumerated() {
            #expect(box.x >= 0 && box.y >= 0 && box.right <= picture.width && box.bottom <= picture.height)
            for other in boxes.dropFirst(index + 1) { #expect(!box.overlaps(other), "\(box) covers \(other)") }
        }
    }

    @Test("no line runs through a box", arguments: maps)
    func wires(_ name: String) throws {
        let picture = MapPicture(try map(name))
        for element in picture.pen.elements where element.hasPrefix("<polyline") {
            let text = element.split(separator: "\"")[1]
            let points = text.split(separator: " ").map { $0.split(separator: ",").compactMap { Int($0) } }
            for (a, b) in zip(points, points.dropFirst()) {
                #expect(a[0] == b[0] || a[1] == b[1], "a slanted line")
                let line = MapBox(
                    x: min(a[0], b[0]), y: min(a[1], b[1]), width: max(1, abs(a[0] - b[0])),
                    height: max(1, abs(a[1] - b[1])))
                for box in picture.pen.boxes {
                    // A line may end at a box, not pass it.
                    let inside = MapBox(x: box.x + 2, y: box.y + 2, width: box.width - 4, height: box.height - 4)
                    #expect(!inside.overlaps(line), "\(element) runs through \(box)")
                }
            }
        }
    }

    /// The pictures are put where URSA_PICTURES says, for a person to look at.
    @Test("the picture is a well-formed document", arguments: maps)
    func wellFormed(_ name: String) throws {
        let svg = try map(name).svg
        if let folder = getenv("URSA_PICTURES").map({ String(cString: $0) }) {
            try File.replace("\(folder)/\(name).svg", text: svg, mode: 0o644)
        }
        var open: [Substring] = []
        for part in svg.split(separator: "<").dropFirst() {
            guard let end = part.firstIndex(of: ">") else {
                Issue.record("an element does not end: \(part.prefix(60))")
                return
            }
            let tag = part[..<end]
            if tag.hasPrefix("?") || tag.hasSuffix("/") { continue }
            let name = tag.split(separator: " ").first ?? ""
            if name.hasPrefix("/") { #expect(open.popLast() == name.dropFirst()) } else { open.append(name) }
        }
        #expect(open.isEmpty)
        guard Path.program("rsvg-convert") != nil else { return }
        let result = try Program("rsvg-convert", ["-f", "png"]).run(input: Array(svg.utf8), seconds: 30)
        #expect(result.end.isSuccess && result.output.starts(with: [0x89, 0x50, 0x4e, 0x47]))
    }

    @Test("names of strangers are escaped")
    func escaped() throws {
        var map = try MapFixtures.quickstart()
        map.host = "<script>&\"'\u{1}\u{202e}"
        map.links[0].name = "</svg>"
        #expect(!map.svg.contains("<script>") && !map.svg.contains("</svg></"))
        #expect(map.svg.contains("&lt;script&gt;&amp;&quot;&#39;?"))
    }

    @Test("a name that is too long is cut and told in full by a tooltip")
    func cut() throws {
        let svg = try MapFixtures.office().svg
        #expect(svg.contains("<title>home-with-a-rather-long-name-xx</title>home-with"))
        #expect(!svg.contains(">home-with-a-rather-long-name-xx</text>"))
    }

    @Test("zones have one colour each, and a legend")
    func zones() throws {
        let map = try MapFixtures.laptop()
        #expect(map.zones == ["net", "kvm"])
        #expect(map.gateways.map(\.zone) == ["net", "net"])
        #expect(map.networks[0].zone == "kvm")
        #expect(map.svg.contains("net → any: drop"))
    }

    @Test("the tree names everything, and keeps to the terminal's width")
    func text() throws {
        let map = try MapFixtures.laptop()
        let text = map.text(width: nil)
        for word in [
            "eth0", "172.20.1.130/24", "comcast", "avvanta  172.20.1.254  fallback  zone net  CHECK FAILS", "machines",
            "● debs", "○ windows", "⇢ comcast tcp 2222 → 22", "wlan0  wireless  off",
        ] {
            #expect(text.contains(word), "\(word) is missing in\n\(text)")
        }
        for line in map.text(width: 40).split(separator: "\n") { #expect(line.count <= 40) }
    }

    @Test("the JSON form is the one that programs know")
    func json() throws {
        let json = try MapFixtures.laptop().json
        #expect(json["host"]?["interfaces"]?.array?.first?["name"]?.string == "eth0")
        #expect(json["gateways"]?.array?[1]["healthy"] == .bool(false))
        #expect(json["networks"]?.array?[0]["subnets"]?.array?.first?.string == "10.77.0.0/24")
        #expect(json["machines"]?.array?[1]["cards"]?.array?.first?["addresses"]?.array?.first?.string == "10.77.0.11")
        #expect(try JSON.parse(json.text) == json)
    }

    @Test("a hundred machines and an empty host are drawn too")
    func sizes() throws {
        var wish = try labWish(machines: (0..<100).map { "m\($0)" })
        wish.subnet = try required(IPv4Network("10.77.0.0/24"))
        let machines = wish.members.indices.map { MapFixtures.machine(wish, $0) }
        let map = NetworkMap.make(
            home: nil, wish: HostWish(networks: [wish]), view: nil, machines: machines, up: [])
        let picture = MapPicture(map)
        #expect(picture.width < 12_000 && picture.height < 4_000)
        let empty = NetworkMap.make(
            home: nil, wish: HostWish(), view: HostView(name: "bare", links: [], isForwarding: false), machines: [],
            up: [])
        #expect(empty.svg.contains("host bare"))
        #expect(empty.text(width: 80) == "host bare, does not forward packets\n")
    }
}
