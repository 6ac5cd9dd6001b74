/* Preloaded: flock of a file below $SHARED locks a file of this host in $TMPDIR instead, as on a
 * file system where each host only sees its own locks (Lustre with localflock, NFS with local_lock).
 * The lock belongs to the process and ends with it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int flock(int descriptor, int operation)
{
    char link[64], path[PATH_MAX + 1], own[PATH_MAX];
    const char *shared = getenv("SHARED"), *place = getenv("TMPDIR");
    struct stat found;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0 || !shared || !place || strncmp(path, shared, strlen(shared)) ||
        fstat(descriptor, &found))
        return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(descriptor, operation);
    snprintf(own, sizeof own, "%s/lock-%lu", place, (unsigned long)found.st_ino);
    int file = open(own, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct flock all = {.l_type = operation & LOCK_UN ? F_UNLCK : F_WRLCK, .l_whence = SEEK_SET};
    if (file < 0)
        return -1;
    if (!fcntl(file, operation & LOCK_NB ? F_SETLK : F_SETLKW, &all))
        return 0; /* `file` stays open: closing it would release the lock */
    if (errno == EACCES || errno == EAGAIN)
        errno = EWOULDBLOCK;
    return -1;
}
