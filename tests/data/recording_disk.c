/* Preloaded into a program, it writes down what the program does to the files under $RECORD_ROOT, in order, into
 * $RECORD_LOG: one record each, made once the call has returned. So a power cut can be tried at any moment of it.
 * A call and its record are one step, for other threads and for the end of the process: a process that ends while one
 * of its threads writes would leave half a record, or a write that no record tells of.
 * A record: kind, length of the path (2 bytes), offset (8), length of the data (4), path, data. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static pthread_mutex_t step = PTHREAD_MUTEX_INITIALIZER;

/* Runs in exit(3): no step is begun any more, and none is under way. */
__attribute__((destructor)) static void end(void) { pthread_mutex_lock(&step); }

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
    pthread_mutex_lock(&step);
    off64_t at = lseek64(file, 0, SEEK_CUR);
    ssize_t done = real(file, bytes, size);
    if (done > 0 && at >= 0) { PATH(file); record('w', path, (uint64_t)at, bytes, (uint32_t)done); }
    pthread_mutex_unlock(&step);
    return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    REAL(pwrite64);
    pthread_mutex_lock(&step);
    ssize_t done = real(file, bytes, size, at);
    if (done > 0) { PATH(file); record('w', path, (uint64_t)at, bytes, (uint32_t)done); }
    pthread_mutex_unlock(&step);
    return done;
}

int ftruncate64(int file, off64_t size) {
    REAL(ftruncate64);
    pthread_mutex_lock(&step);
    int done = real(file, size);
    if (done == 0) { PATH(file); record('t', path, (uint64_t)size, "", 0); }
    pthread_mutex_unlock(&step);
    return done;
}

int fsync(int file) {
    REAL(fsync);
    pthread_mutex_lock(&step);
    int done = real(file);
    if (done == 0) { PATH(file); record('s', path, 0, "", 0); }
    pthread_mutex_unlock(&step);
    return done;
}

int fdatasync(int file) {
    REAL(fdatasync);
    pthread_mutex_lock(&step);
    int done = real(file);
    if (done == 0) { PATH(file); record('s', path, 0, "", 0); }
    pthread_mutex_unlock(&step);
    return done;
}

int unlink(const char *path) {
    REAL(unlink);
    pthread_mutex_lock(&step);
    int done = real(path);
    if (done == 0) record('u', path, 0, "", 0);
    pthread_mutex_unlock(&step);
    return done;
}

int rename(const char *from, const char *to) {
    REAL(rename);
    pthread_mutex_lock(&step);
    int done = real(from, to);
    if (done == 0) record('r', from, 0, to, (uint32_t)strlen(to));
    pthread_mutex_unlock(&step);
    return done;
}

int linkat(int at, const char *from, int to_at, const char *to, int flags) {
    REAL(linkat);
    pthread_mutex_lock(&step);
    int done = real(at, from, to_at, to, flags);
    if (done == 0) record('l', from, 0, to, (uint32_t)strlen(to));
    pthread_mutex_unlock(&step);
    return done;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

typedef int opening(const char *path, int flags, ...);

static int open_with(opening *real, const char *path, int flags, mode_t mode) {
    int kept = errno;
    pthread_mutex_lock(&step);
    int is_new = (flags & O_CREAT) && access(path, F_OK) != 0;
    errno = kept;
    int done = real(path, flags, mode);
    if (done >= 0 && is_new) record('c', path, 0, "", 0);
    pthread_mutex_unlock(&step);
    return done;
}

#define OPEN(name) int name(const char *path, int flags, ...) { \
    REAL(name); \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & O_CREAT ? (mode_t)va_arg(more, int) : 0; \
    va_end(more); \
    return open_with(real, path, flags, mode); \
}

OPEN(open)
OPEN(open64)
