import UrsaBase

/// Which persistent bitmaps follow what is written.
struct Qcow2BitmapTracking {
}

extension Qcow2Image {
    func prepareBitmaps() throws(UrsaError) {}
    func closeBitmaps() throws(UrsaError) {}
}

extension Qcow2Image {
    func bitmapRanges() throws(UrsaError) -> [(offset: UInt64, count: UInt64, what: String)] { [] }
}
