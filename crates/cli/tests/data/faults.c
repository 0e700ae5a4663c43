/* Makes a program meet what a test wants: reads of a file that fail (EIO), and a clock that is set.
 *
 * FAULTS_READ names a file with a piece of a path: while it is there, reading a file whose path contains that fails.
 * FAULTS_CLOCK names a file with seconds, which are added to the time of day. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Reads a small file without the functions below. */
static int content(const char *name, char *text, int size) {
    const char *path = getenv(name);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    int n = (int)read(fd, text, (size_t)size - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    text[strcspn(text, "\n")] = 0;
    return 1;
}

static int bad(int fd) {
    char piece[256], link[64], path[4096];
    if (!content("FAULTS_READ", piece, sizeof piece)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return strstr(path, piece) != NULL;
}

ssize_t pread64(int fd, void *buffer, size_t size, off64_t offset) {
    if (bad(fd)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, buffer, size, offset);
}

ssize_t pread(int fd, void *buffer, size_t size, off_t offset) {
    return pread64(fd, buffer, size, offset);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, time);
    char text[64];
    if (done == 0 && clock == CLOCK_REALTIME && content("FAULTS_CLOCK", text, sizeof text)) time->tv_sec += atol(text);
    return done;
}
