#define _GNU_SOURCE
#include "clinux_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define RESULT(call) ({ long r_ = (call); r_ < 0 ? -errno : r_; })

int32_t clinux_fallocate(int32_t fd, int32_t mode, int64_t offset, int64_t length) {
    int flags = mode == CLINUX_PUNCH_HOLE ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        : mode == CLINUX_ZERO_RANGE ? FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE : 0;
    int result;
    do result = fallocate(fd, flags, offset, length); while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int64_t clinux_seek_data(int32_t fd, int64_t offset) { return RESULT(lseek(fd, offset, SEEK_DATA)); }

int64_t clinux_seek_hole(int32_t fd, int64_t offset) { return RESULT(lseek(fd, offset, SEEK_HOLE)); }

int64_t clinux_block_device_size(int32_t fd) {
    uint64_t size = 0;
    if (ioctl(fd, BLKGETSIZE64, &size) < 0) return -errno;
    return size > INT64_MAX ? -EFBIG : (int64_t)size;
}

int32_t clinux_block_device_discard(int32_t fd, uint64_t offset, uint64_t length) {
    uint64_t range[2] = { offset, length };
    return (int32_t)RESULT(ioctl(fd, BLKDISCARD, range));
}

int64_t clinux_copy_file_range(int32_t source, int64_t from, int32_t target, int64_t to, int64_t length) {
    off_t in = from, out = to;
    return RESULT(copy_file_range(source, &in, target, &out, (size_t)length, 0));
}

static struct flock range_lock(short type, int64_t start, int64_t length) {
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = start;
    lock.l_len = length;
    return lock;
}

int32_t clinux_ofd_lock_conflicts(int32_t fd, int32_t exclusive, int64_t start, int64_t length) {
    struct flock lock = range_lock(exclusive ? F_WRLCK : F_RDLCK, start, length);
    if (fcntl(fd, F_OFD_GETLK, &lock) < 0) return -errno;
    return lock.l_type == F_UNLCK ? 0 : 1;
}

int32_t clinux_ofd_unlock(int32_t fd, int64_t start, int64_t length) {
    struct flock lock = range_lock(F_UNLCK, start, length);
    return (int32_t)RESULT(fcntl(fd, F_OFD_SETLK, &lock));
}

int32_t clinux_o_direct(void) { return O_DIRECT; }

int32_t clinux_forget_cached(int32_t fd, int64_t offset, int64_t length) {
    return -posix_fadvise(fd, offset, length, POSIX_FADV_DONTNEED);
}
