import Testing
import UrsaBase

@testable import UrsaRootless

@Suite struct DoorTests {
    @Test(arguments: [
        Door(isUDP: false, address: nil, port: 8080), Door(isUDP: true, address: IPAddress("127.0.0.1"), port: 1),
        Door(isUDP: false, address: IPAddress("::1"), port: 65535),
    ]) func `a door travels as JSON and comes back the same`(_ door: Door) {
        #expect(Door(json: door.json) == door)
    }

    @Test(arguments: [
        #"{"udp":false,"port":0}"#, #"{"udp":false,"port":65536}"#, #"{"port":1}"#,
        #"{"udp":true,"port":1,"address":"x"}"#,
    ])
    func `what is no door is none`(_ text: String) throws {
        #expect(Door(json: try JSON.parse(text)) == nil)
    }
}
