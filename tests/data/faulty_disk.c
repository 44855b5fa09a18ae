/* Preloaded into a program, it makes its disk fail on command: while $FAULTY_DISK/full exists no regular file takes
 * another byte, and while $FAULTY_DISK/sync exists nothing is synced. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int has(const char *fault) {
    const char *folder = getenv("FAULTY_DISK");
    char path[4096];
    int kept = errno, found;
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, fault);
    found = access(path, F_OK) == 0;
    errno = kept;
    return found;
}

static int is_full(int file) {
    struct stat status;
    return fstat(file, &status) == 0 && S_ISREG(status.st_mode) && has("full");
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define FAIL(code) do { errno = (code); return -1; } while (0)

int fsync(int file) { REAL(fsync); if (has("sync")) FAIL(EIO); return real(file); }
int fdatasync(int file) { REAL(fdatasync); if (has("sync")) FAIL(EIO); return real(file); }

ssize_t write(int file, const void *bytes, size_t size) {
    REAL(write);
    if (is_full(file)) FAIL(ENOSPC);
    return real(file, bytes, size);
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    REAL(pwrite64);
    if (is_full(file)) FAIL(ENOSPC);
    return real(file, bytes, size, at);
}

int ftruncate64(int file, off64_t size) {
    REAL(ftruncate64);
    struct stat status;
    if (fstat(file, &status) == 0 && size > status.st_size && is_full(file)) FAIL(ENOSPC);
    return real(file, size);
}
