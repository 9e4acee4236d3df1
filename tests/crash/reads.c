// Preloaded into the relay: makes positioned reads fail with EIO, for some bytes or all, and for a time or for good.
//
// The file that RINGBACK_TEST_READS names holds lines "PART FROM TO": a read of a file whose path contains PART, and that
// touches the bytes from FROM to below TO (or any, if TO is 0), fails. With an empty file, no read fails.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int fd, size_t count, off_t offset) {
    const char *orders_path = getenv("RINGBACK_TEST_READS");
    if (!orders_path) return 0;
    char orders[4096];
    int orders_fd = open(orders_path, O_RDONLY | O_CLOEXEC);
    if (orders_fd < 0) return 0;
    ssize_t length = read(orders_fd, orders, sizeof orders - 1);
    close(orders_fd);
    if (length <= 0) return 0;
    orders[length] = 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t path_length = readlink(link, path, sizeof path - 1);
    if (path_length < 0) return 0;
    path[path_length] = 0;
    char *rest = orders, *line;
    while ((line = strsep(&rest, "\n"))) {
        char part[512];
        long long from, to;
        if (sscanf(line, "%511s %lld %lld", part, &from, &to) != 3) continue;
        if (!strstr(path, part)) continue;
        if (to == 0 || (offset < to && from < offset + (off_t)count)) return 1;
    }
    return 0;
}

ssize_t pread64(int fd, void *bytes, size_t count, off_t offset) {
    static ssize_t (*real)(int, void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pread64");
    if (fails(fd, count, offset)) {
        errno = EIO;
        return -1;
    }
    return real(fd, bytes, count, offset);
}

ssize_t pread(int fd, void *bytes, size_t count, off_t offset) {
    return pread64(fd, bytes, count, offset);
}
