/* Preloaded into a program, it writes down what the program does to the files under $RECORD_ROOT, in order, into
 * $RECORD_LOG: one record each, made once the call has returned. So a power cut can be tried at any moment of it.
 * A record: kind, length of the path (2 bytes), offset (8), length of the data (4), path, data. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int log_file(void) {
    static int file = -1;
    const char *path = getenv("RECORD_LOG");
    if (file < 0 && path) file = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    return file;
}

static void record(char kind, const char *path, uint64_t offset, const void *bytes, uint32_t size) {
    const char *root = getenv("RECORD_ROOT");
    char head[15];
    uint16_t length = (uint16_t)strlen(path);
    int kept = errno;
    if (root && log_file() >= 0 && strncmp(path, root, strlen(root)) == 0) {
        struct iovec parts[3] = {{head, sizeof head}, {(void *)path, length}, {(void *)bytes, size}};
        head[0] = kind;
        memcpy(head + 1, &length, 2);
        memcpy(head + 3, &offset, 8);
        memcpy(head + 11, &size, 4);
        if (writev(log_file(), parts, 3) < 0) abort(); /* half a record is worse than none */
    }
    errno = kept;
}

/* The path of an open file; empty when there is none. */
static const char *path_of(int file, char *path, size_t size) {
    char link[64];
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, size - 1);
    path[length > 0 ? length : 0] = 0;
    errno = kept;
    return path;
}

#define PATH(file) char path[4096]; path_of(file, path, sizeof path)

ssize_t write(int file, const void *bytes, size_t size) {
    REAL(write);
    off64_t at = lseek64(file, 0, SEEK_CUR);
    ssize_t done = real(file, bytes, size);
    if (done > 0 && at >= 0) { PATH(file); record('w', path, (uint64_t)at, bytes, (uint32_t)done); }
    return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    REAL(pwrite64);
    ssize_t done = real(file, bytes, size, at);
    if (done > 0) { PATH(file); record('w', path, (uint64_t)at, bytes, (uint32_t)done); }
    return done;
}

int ftruncate64(int file, off64_t size) {
    REAL(ftruncate64);
    int done = real(file, size);
    if (done == 0) { PATH(file); record('t', path, (uint64_t)size, "", 0); }
    return done;
}

int fsync(int file) {
    REAL(fsync);
    int done = real(file);
    if (done == 0) { PATH(file); record('s', path, 0, "", 0); }
    return done;
}

int fdatasync(int file) {
    REAL(fdatasync);
    int done = real(file);
    if (done == 0) { PATH(file); record('s', path, 0, "", 0); }
    return done;
}

int unlink(const char *path) {
    REAL(unlink);
    int done = real(path);
    if (done == 0) record('u', path, 0, "", 0);
    return done;
}

int rename(const char *from, const char *to) {
    REAL(rename);
    int done = real(from, to);
    if (done == 0) record('r', from, 0, to, (uint32_t)strlen(to));
    return done;
}
