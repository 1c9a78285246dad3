/// One change of an image's file, as it goes to the system.
///
/// Every byte that `UrsaDisk` changes in a file passes through `ImageFile`, so whoever sees these in their order knows
/// all that can be on the disk after a loss of power. Bytes are valid during the call only.
public enum FileChange {
    case write(UnsafeRawBufferPointer, offset: UInt64)
    /// The range reads as zeros afterwards; with `unmap` its space may be given back.
    case zero(offset: UInt64, count: UInt64, unmap: Bool)
    case resize(UInt64)
    /// Everything before is on stable storage when it has returned.
    case sync
}
