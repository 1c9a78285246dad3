import Glibc
import Testing
import UrsaBase

@testable import UrsaImages

@Suite("The image tiny", .serialized)
struct TinyTests {
    static let canBuild = has("apt-get", "apt-cache", "dpkg-deb", "lz4")
    static let canBoot = canBuild && has("qemu-system-x86_64", "curl")

    @Test(
        "boots to its marker, answers on port 80, takes commands on the console, ends by the power button",
        .enabled(if: canBoot, "needs apt, lz4, curl and qemu-system-x86_64"), .timeLimit(.minutes(120)))
    func boots() throws {
        let folder = try TempFolder()
        let store = ImageStore(folder: try SharedStore.folder())
        let image = try store.ensure("tiny")
        #expect(image.readyPort == 80)
        #expect(image.disk == nil)
        #expect(try store.find("tiny") == image)

        let port = freePort()
        let guest = try Guest(image, folder: folder.path, words: "ursa.hostname=web", forward: [port: 80])
        let isReady = guest.wait(for: "ursa: ready", seconds: 60)
        #expect(isReady, "\(guest.output)")
        print("tiny: ready after \(Deadline.now.seconds(since: guest.started)) s")
        let page = try output("curl", ["--silent", "--show-error", "--max-time", "20", "http://127.0.0.1:\(port)/"])
        #expect(page.hasPrefix("hello from web (10.0.2.15)\n"))
        try guest.type("echo $((6 * 7))-$(hostname)\n")
        let answered = guest.wait(for: "42-web", seconds: 20)
        #expect(answered, "\(guest.output)")
        try guest.command("system_powerdown")
        #expect(try guest.end(seconds: 20) == .exited(0))
    }
}
