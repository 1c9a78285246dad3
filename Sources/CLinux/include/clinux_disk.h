// CLinux: what disk images need of the kernel beyond read and write. Same contract: a value >= 0, or -errno.
#ifndef CLINUX_DISK_H
#define CLINUX_DISK_H

#include <stdint.h>

// fallocate(2) modes, by what they do.
enum {
    CLINUX_ALLOCATE = 0,       // reserves space; the file grows when the range lies past its end
    CLINUX_PUNCH_HOLE = 1,     // gives space back, the range reads as zeros, the size stays
    CLINUX_ZERO_RANGE = 2,     // the range reads as zeros and keeps its space, the size stays
};
int32_t clinux_fallocate(int32_t fd, int32_t mode, int64_t offset, int64_t length);
// lseek(2) with SEEK_DATA or SEEK_HOLE; -ENXIO when there is no data behind `offset`.
int64_t clinux_seek_data(int32_t fd, int64_t offset);
int64_t clinux_seek_hole(int32_t fd, int64_t offset);
// Size of a block device in bytes (BLKGETSIZE64).
int64_t clinux_block_device_size(int32_t fd);
// Gives a range of a block device back (BLKDISCARD); what it reads as afterwards is undefined.
int32_t clinux_block_device_discard(int32_t fd, uint64_t offset, uint64_t length);
// Copies between files inside the kernel (copy_file_range(2)); returns the bytes copied, 0 at the source's end.
int64_t clinux_copy_file_range(int32_t source, int64_t from, int32_t target, int64_t to, int64_t length);
// Tells whether somebody else's lock (open-file-description or process) would stop an exclusive or shared lock on the
// range: 1 yes, 0 no.
int32_t clinux_ofd_lock_conflicts(int32_t fd, int32_t exclusive, int64_t start, int64_t length);
// Releases a range of this description's locks.
int32_t clinux_ofd_unlock(int32_t fd, int64_t start, int64_t length);
// O_DIRECT needs _GNU_SOURCE, which the Glibc module is not built with.
int32_t clinux_o_direct(void);
// Drops clean cached pages of a range, and starts write-back of the dirty ones (posix_fadvise DONTNEED).
int32_t clinux_forget_cached(int32_t fd, int64_t offset, int64_t length);

#endif
