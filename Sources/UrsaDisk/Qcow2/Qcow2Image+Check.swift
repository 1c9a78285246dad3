public import UrsaBase
extension Qcow2Image {
    func mendDirty() throws(UrsaError) {}
    public func resize(to size: UInt64, preallocation: Preallocation) throws(UrsaError) {}
}
