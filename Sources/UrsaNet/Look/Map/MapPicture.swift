import UrsaBase
import UrsaFirewall

/// Lays the map out from top to bottom: outside with the gateways, the host with its links, networks with their bridge,
/// machines. Lines run in lanes that are kept free, so that none crosses a box.
struct MapPicture {
    private let map: NetworkMap
    private(set) var pen = MapPen()
    private var colourOf: [String: Int] = [:]
    private(set) var width = 0
    private(set) var height = 0

    private static let margin = 24
    private static let gap = 28
    private static let line = 17
    private static let machineWidth = 290
    private static let spine = 30
    private static let linkWidth = 252
    private static let gatewayWidth = 232

    /// Draws the map.
    init(_ map: NetworkMap) {
        self.map = map
        for (number, name) in keys.enumerated() { colourOf[name] = number % MapStyle.colours.count }
        let rows = Self.rows(map)
        let columns = map.networks.map { Column($0, map, rows: rows) }
        let bodies = columns.map(\.width).reduce(0, +) + max(0, columns.count - 1) * Self.gap * 2
        let links = linkGroups
        let heads = links.map(\.width).reduce(0, +) + max(0, links.count - 1) * Self.gap
        let inner = max(bodies, heads + 40, 640)
        width = inner + 2 * Self.margin
        var y = Self.margin
        y = drawTitle(y)
        y = drawOutsideAndHost(links, y, inner)
        y = drawNetworks(columns, y, left: Self.margin + (inner - bodies) / 2)
        y = drawLegend(y, inner)
        height = y + Self.margin
    }

    /// The SVG document.
    var svg: String {
        """
        <?xml version="1.0" encoding="UTF-8"?>
        <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" viewBox="0 0 \(width) \(height)" role="img">
        <title>\(MapPen.escaped("Networks of \(map.host)"))</title>
        <style>
        \(MapStyle.css)
        </style>
        <rect width="\(width)" height="\(height)" class="paper"/>
        \(pen.elements.joined(separator: "\n"))
        </svg>

        """
    }

    /// How many machines stand above each other: as few as keep the picture within a screen's width or about as wide as
    /// high.
    private static func rows(_ map: NetworkMap) -> Int {
        let counts = map.networks.map { max(1, map.members(of: $0.name).count) }
        var rows = 2
        while rows < 100 {
            let columns = counts.map { ($0 + rows - 1) / rows }.reduce(0, +)
            let width = columns * (spine + machineWidth) + counts.count * (spine + 2 * gap)
            if width <= max(1100, rows * 150) || rows >= counts.max() ?? 1 { return rows }
            rows += 1
        }
        return rows
    }

    // MARK: colours

    /// What is told by colour: zones where there are any, else models.
    private var keys: [String] {
        if !map.zones.isEmpty { return map.zones }
        var models: [String] = []
        for network in map.networks where !models.contains(network.model) { models.append(network.model) }
        return models
    }

    private func colour(_ network: NetworkMap.Network) -> Int {
        colourOf[map.zones.isEmpty ? network.model : network.zone ?? ""] ?? 7
    }

    // MARK: title

    private mutating func drawTitle(_ y: Int) -> Int {
        pen.text("Networks of \(map.host)", Self.margin, y + 18, .heading, room: width - 2 * Self.margin)
        var next = y + 30
        for note in map.notes {
            pen.text(note, Self.margin, next + 12, room: width - 2 * Self.margin, style: "d")
            next += Self.line
        }
        return next + 10
    }

    // MARK: outside and host

    /// A link of the host with the gateways above it.
    private struct LinkGroup {
        var link: NetworkMap.Interface
        var gateways: [NetworkMap.Gateway]
        var width: Int {
            max(MapPicture.linkWidth, gateways.count * (MapPicture.gatewayWidth + MapPicture.gap) - MapPicture.gap)
        }
    }

    private var linkGroups: [LinkGroup] {
        map.links.map { link in LinkGroup(link: link, gateways: map.gateways.filter { $0.interface == link.name }) }
    }

    private mutating func drawOutsideAndHost(_ groups: [LinkGroup], _ y: Int, _ inner: Int) -> Int {
        // Links of one row each with their gateways above; those that lead nowhere fill the rows after.
        var rows: [[LinkGroup]] = [[]]
        var used = 0
        for group in groups {
            if used + group.width > inner - 40, !(rows.last ?? []).isEmpty {
                rows.append([])
                used = 0
            }
            rows[rows.count - 1].append(group)
            used += group.width + Self.gap
        }
        let hasGateways = !map.gateways.isEmpty
        let gatewayLines = map.gateways.map { max(1, $0.addresses.count) }.max() ?? 0
        let gatewayHeight = 28 + gatewayLines * Self.line + 22
        var next = y
        var lines: [(from: (Int, Int), gateway: NetworkMap.Gateway)] = []
        if hasGateways {
            let band = MapBox(x: Self.margin, y: next, width: inner, height: gatewayHeight + 46)
            pen.box(band, "out", radius: 14, isFrame: true)
            pen.text("outside", band.x + 16, band.y + 22, .title, room: 200, style: "d")
            var x = start(rows.first ?? [], inner)
            for group in rows.first ?? [] {
                let total = group.gateways.count * (Self.gatewayWidth + Self.gap) - Self.gap
                var left = x + (group.width - total) / 2
                for gateway in group.gateways {
                    let box = MapBox(x: left, y: band.y + 34, width: Self.gatewayWidth, height: gatewayHeight)
                    drawGateway(gateway, box)
                    lines.append(((box.middle, box.bottom), gateway))
                    left += Self.gatewayWidth + Self.gap
                }
                x += group.width + Self.gap
            }
            next = band.bottom + 40
        }
        let top = next
        next += 38
        var boxes: [(MapBox, LinkGroup)] = []
        for row in rows where !row.isEmpty {
            let height = row.map { linkHeight($0.link) }.max() ?? 0
            var x = start(row, inner)
            for group in row {
                let left = x + (group.width - Self.linkWidth) / 2
                boxes.append((MapBox(x: left, y: next, width: Self.linkWidth, height: height), group))
                x += group.width + Self.gap
            }
            next += height + 14
        }
        let host = MapBox(x: Self.margin, y: top, width: inner, height: next - top + 4)
        pen.box(host, "host", radius: 10, isFrame: true)
        pen.text("host \(map.host)", host.x + 20, host.y + 25, .title, room: inner / 2)
        pen.text(
            map.isForwarding ? "forwards packets" : "does not forward packets", host.right - 20, host.y + 24,
            room: inner / 3, style: "d", anchor: "end")
        for (box, group) in boxes { drawLink(group.link, box) }
        for line in lines {
            guard let (box, _) = boxes.first(where: { $0.1.link.name == line.gateway.interface }) else { continue }
            // Straight down where the link is below, else with a knee above the host.
            let x = min(max(line.from.0, box.x + 20), box.right - 20)
            let style = line.gateway.zone.flatMap { colourOf[$0] }.map { "w\($0)" } ?? "wire"
            let knee = host.y - 16
            pen.wire(
                [line.from, (line.from.0, knee), (x, knee), (x, box.y)], style + (line.gateway.isHealthy ? "" : " off"))
        }
        return host.bottom
    }

    /// Where a row of links begins, so that it stands in the middle.
    private func start(_ row: [LinkGroup], _ inner: Int) -> Int {
        let used = row.map(\.width).reduce(0, +) + max(0, row.count - 1) * Self.gap
        return Self.margin + max(20, (inner - used) / 2)
    }

    private mutating func drawGateway(_ gateway: NetworkMap.Gateway, _ box: MapBox) {
        let number = gateway.zone.flatMap { colourOf[$0] }
        pen.box(box, (number.map { "z\($0)" } ?? "box") + (gateway.isHealthy ? "" : " off"), radius: 20)
        pen.text(gateway.uplink ?? "gateway", box.x + 18, box.y + 23, .title, room: box.width - 44)
        pen.dot(box.right - 18, box.y + 18, 5, gateway.isHealthy ? "on" : "bad")
        var y = box.y + 23
        for address in gateway.addresses {
            y += Self.line
            pen.text("\(address)", box.x + 18, y, .mono, room: box.width - 30)
        }
        if gateway.addresses.isEmpty {
            y += Self.line
            pen.text("gateway unknown", box.x + 18, y, room: box.width - 30, style: "d")
        }
        let words = [gateway.role, gateway.isHealthy ? nil : "check fails"].compactMap { $0 }
        pen.text(words.joined(separator: ", "), box.x + 18, y + 19, room: box.width - 30, style: "d")
    }

    private func linkHeight(_ link: NetworkMap.Interface) -> Int {
        28 + max(1, link.addresses.count) * Self.line + (link.mac == nil ? 0 : Self.line) + 6
    }

    private mutating func drawLink(_ link: NetworkMap.Interface, _ box: MapBox) {
        pen.box(box, link.isUp ? "box" : "box off")
        let kind = [link.kind, link.master.map { "port of \($0)" }, link.isUp ? nil : "off"].compactMap { $0 }
        let room = box.width - 24
        pen.text(link.name, box.x + 12, box.y + 22, .title, room: 110, style: link.isUp ? "" : "off-t")
        pen.text(
            kind.joined(separator: ", "), box.right - 12, box.y + 21, room: room - 110, style: "d", anchor: "end")
        var y = box.y + 24
        for address in link.addresses {
            y += Self.line
            pen.text("\(address)", box.x + 12, y, .mono, room: room)
        }
        if link.addresses.isEmpty {
            y += Self.line
            pen.text("no address", box.x + 12, y, room: room, style: "d")
        }
        if let mac = link.mac { pen.text("\(mac)", box.x + 12, y + Self.line, .mono, room: room, style: "d") }
    }

    // MARK: networks and machines

    /// A network's plate: its machines in as many columns as keep the picture about as wide as high.
    private struct Column {
        var network: NetworkMap.Network
        var machines: [[NetworkMap.Machine]]
        var width: Int

        init(_ network: NetworkMap.Network, _ map: NetworkMap, rows: Int) {
            self.network = network
            // Machines with further cards stand last, near the lanes at the right.
            let all = map.members(of: network.name)
            let ordered = all.filter { $0.cards.count < 2 } + all.filter { $0.cards.count > 1 }
            let count = max(1, (ordered.count + rows - 1) / rows)
            let each = (ordered.count + count - 1) / count
            machines = (0..<count).map { Array(ordered.dropFirst($0 * each).prefix(each)) }
            width = count * (MapPicture.spine + MapPicture.machineWidth) + MapPicture.spine
        }

        var headerLines: Int {
            1 + network.subnets.count + (network.trouble == nil ? 0 : 1) + (network.impairment == nil ? 0 : 1)
        }
    }

    private mutating func drawNetworks(_ columns: [Column], _ y: Int, left: Int) -> Int {
        guard !columns.isEmpty else { return y }
        let top = y + 46
        let header = 44 + (columns.map(\.headerLines).max() ?? 1) * Self.line
        let bar = top + header + 8
        var places: [String: MapBox] = [:]
        var exits: [(machine: NetworkMap.Machine, box: MapBox, gutter: Int)] = []
        var x = left
        var bottom = bar
        for column in columns {
            var deepest = bar + 30
            for list in column.machines {
                let height = list.map { machineHeight($0) + 14 }.reduce(0, +)
                deepest = max(deepest, bar + 22 + height)
            }
            let plate = MapBox(x: x, y: top, width: column.width, height: deepest + 8 - top)
            drawPlate(column, plate, bar: bar, hostBottom: y)
            places[column.network.name] = plate
            for (index, list) in column.machines.enumerated() {
                let spine = plate.x + index * (Self.spine + Self.machineWidth) + 14
                var below = bar + 24
                let number = colour(column.network)
                for machine in list {
                    let box = MapBox(
                        x: spine + Self.spine - 14, y: below, width: Self.machineWidth, height: machineHeight(machine))
                    let isLast = machine.name == list.last?.name
                    pen.wire([(spine, bar), (spine, box.y + 18), (box.x, box.y + 18)], "w\(number)")
                    pen.dot(box.x, box.y + 18, 3, "b\(number)")
                    drawMachine(machine, box)
                    if machine.cards.count > 1 { exits.append((machine, box, box.right)) }
                    below = box.bottom + (isLast ? 0 : 14)
                }
            }
            bottom = max(bottom, plate.bottom)
            x += column.width + 2 * Self.gap
        }
        return drawFurtherCards(exits, places, bar: bar, bottom: bottom)
    }

    private mutating func drawPlate(_ column: Column, _ plate: MapBox, bar: Int, hostBottom: Int) {
        let network = column.network
        let number = colour(network)
        pen.box(plate, "z\(number)" + (network.isUp ? "" : " off"), radius: 10, isFrame: true)
        let stem = plate.x + 14
        if network.model != "isolated", network.model != "user" {
            pen.wire([(stem, hostBottom), (stem, bar)], "w\(number)" + (network.isUp ? "" : " off"))
            pen.dot(stem, hostBottom, 4, "b\(number)")
            let words = [network.way, network.stem].compactMap { $0 }
            pen.text(words.joined(separator: " · "), stem + 12, hostBottom + 28, room: plate.width - 20, style: "d")
        } else {
            pen.text(network.way, stem + 12, hostBottom + 28, room: plate.width - 20, style: "d")
        }
        let text = plate.x + 32
        let room = plate.width - 48
        var badge = network.model
        if let zone = network.zone { badge = "zone \(zone) · \(badge)" }
        if !network.isUp { badge += " · down" }
        let badgeRoom = min(Int(MapFont.plain.width(badge) * 1.1) + 8, room / 2 + 20)
        pen.text(network.name, text, plate.y + 26, .title, room: room - badgeRoom)
        pen.text(badge, plate.right - 14, plate.y + 25, room: badgeRoom + 4, style: "x\(number)", anchor: "end")
        var y = plate.y + 28
        for subnet in network.subnets {
            y += Self.line
            pen.text(subnet, text, y, .mono, room: room)
        }
        if let trouble = network.trouble {
            y += Self.line
            pen.text(trouble, text, y, room: room, style: "bad-t")
        }
        if let impairment = network.impairment {
            y += Self.line
            pen.text("impaired: \(impairment)", text, y, room: room, style: "bad-t")
        }
        if network.model != "user" {
            let bridge = MapBox(x: plate.x + 8, y: bar - 4, width: plate.width - 16, height: 8)
            pen.box(bridge, "b\(number)", radius: 4, isFrame: true)
            let words = [network.router, network.bridge].compactMap { $0 }.joined(separator: " · ")
            pen.text(words, text, bar - 10, .mono, room: room, style: "d")
        }
    }

    private func machineLines(_ machine: NetworkMap.Machine) -> [(text: String, style: String)] {
        var lines: [(String, String)] = []
        for (index, card) in machine.cards.enumerated() {
            if index > 0 { lines.append(("on \(card.network):", "d")) }
            for address in card.addresses { lines.append(("\(address)", "")) }
            let words = [card.mac.map { "\($0)" }, card.tap].compactMap { $0 }
            if !words.isEmpty { lines.append((words.joined(separator: " "), "d")) }
            if let impairment = card.impairment { lines.append(("impaired: \(impairment)", "bad-t")) }
        }
        for port in machine.ports.prefix(4) { lines.append((port, "p")) }
        if machine.ports.count > 4 { lines.append(("and \(machine.ports.count - 4) more ports", "d")) }
        return lines
    }

    private func machineHeight(_ machine: NetworkMap.Machine) -> Int { 34 + machineLines(machine).count * Self.line }

    private mutating func drawMachine(_ machine: NetworkMap.Machine, _ box: MapBox) {
        pen.box(box, machine.isRunning ? "box" : "box off")
        let room = box.width - 24
        let badge = [machine.isRunning ? nil : machine.state, machine.zone].compactMap { $0 }.joined(separator: " · ")
        let badgeRoom = badge.isEmpty ? 0 : min(Int(MapFont.plain.width(badge) * 1.1) + 8, room / 2)
        pen.text(
            machine.name, box.x + 28, box.y + 22, .title, room: room - 16 - badgeRoom,
            style: machine.isRunning ? "" : "off-t")
        pen.dot(box.x + 16, box.y + 17, 5, machine.isRunning ? "on" : "not")
        let number = machine.zone.flatMap { colourOf[$0] }
        pen.text(
            badge, box.right - 12, box.y + 21, room: badgeRoom, style: number.map { "x\($0)" } ?? "d", anchor: "end")
        var y = box.y + 24
        for line in machineLines(machine) {
            y += Self.line
            if line.style == "p" {
                pen.text("⇢ \(line.text)", box.x + 12, y, .mono, room: room)
            } else {
                pen.text(line.text, box.x + 12, y, .mono, room: room, style: line.style)
            }
        }
    }

    /// Cards beyond the first: a line down beside the machine, along a lane below everything, and up beside the other
    /// network's plate to the end of its bridge.
    private mutating func drawFurtherCards(
        _ exits: [(machine: NetworkMap.Machine, box: MapBox, gutter: Int)], _ places: [String: MapBox], bar: Int,
        bottom: Int
    ) -> Int {
        var lane = bottom + 14
        var used: [Int: Int] = [:]
        func slot(_ gutter: Int) -> Int {
            let number = used[gutter, default: 0]
            used[gutter] = number + 1
            return number % 6
        }
        for exit in exits {
            for (index, card) in exit.machine.cards.enumerated().dropFirst() {
                guard let plate = places[card.network],
                    let network = map.networks.first(where: { $0.name == card.network })
                else { continue }
                let number = colour(network)
                let out = exit.box.right + 5 + slot(exit.box.right) * 4
                let back = plate.x - 6 - slot(-plate.x) * 4
                let y = exit.box.y + 18 + min(index - 1, 3) * 6
                pen.wire(
                    [(exit.box.right, y), (out, y), (out, lane), (back, lane), (back, bar), (plate.x + 8, bar)],
                    "w\(number)")
                pen.dot(exit.box.right, y, 3, "b\(number)")
                lane += 8
            }
        }
        return exits.isEmpty ? bottom : lane
    }

    // MARK: legend

    private mutating func drawLegend(_ y: Int, _ inner: Int) -> Int {
        var next = y + 34
        var x = Self.margin
        func advance(_ wanted: Int) {
            if x + wanted > Self.margin + inner, x > Self.margin {
                x = Self.margin
                next += 24
            }
        }
        if !keys.isEmpty {
            let word = map.zones.isEmpty ? "models" : "zones"
            pen.text(word, x, next + 12, .title, room: 80)
            x += 78
            for (number, key) in keys.enumerated() {
                let room = Int(MapFont.plain.width(key)) + 44
                advance(room)
                pen.box(MapBox(x: x, y: next, width: 22, height: 15), "z\(number % MapStyle.colours.count)", radius: 3)
                pen.text(key, x + 28, next + 12, room: room)
                x += room
            }
            x += 20
        }
        let signs: [(String, String)] = [
            ("on", "runs, healthy"), ("not", "does not run"), ("bad", "check fails"),
        ]
        for (style, words) in signs {
            let room = Int(MapFont.plain.width(words)) + 32
            advance(room)
            pen.dot(x + 7, next + 8, 5, style)
            pen.text(words, x + 18, next + 12, room: room)
            x += room
        }
        let room = Int(MapFont.plain.width("⇢ port of the host that leads to the machine")) + 16
        advance(room)
        pen.text("⇢ port of the host that leads to the machine", x, next + 12, room: room)
        next += 22
        if !map.policies.isEmpty {
            x = Self.margin
            next += 4
            pen.text("policies", x, next + 12, .title, room: 90)
            x += 78
            for policy in map.policies {
                let words = "\(policy.from) → \(policy.to): \(policy.action.rawValue)"
                let room = Int(MapFont.plain.width(words)) + 26
                advance(room)
                pen.text(words, x, next + 12, room: room)
                x += room
            }
            next += 22
        }
        return next
    }
}

extension NetworkMap {
    /// The map as an SVG document (SVG 1.1 with a style sheet): from the outside at the top over the host and its networks
    /// to the machines. Coloured by zone, or by model where there are no zones; follows the reader's choice of light or
    /// dark. Long names are cut and told in full by a tooltip.
    public var svg: String { MapPicture(self).svg }
}
