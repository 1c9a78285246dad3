import Testing
import UrsaDisk

@Suite struct DiskFormatTests {
    @Test func `only raw and qcow2 are written`() {
        #expect(DiskFormat.allCases.filter(\.isWritable) == [.raw, .qcow2])
    }
}
