/* Counts down the number in the file that SYNCS_LEFT names with each sync of the process, and fails syncs once it is
   0, as a broken disk does. Without the file every sync is what it was. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t one_by_one = PTHREAD_MUTEX_INITIALIZER;

static int is_left(void) {
    long left = 1;
    const char *path = getenv("SYNCS_LEFT");
    pthread_mutex_lock(&one_by_one);
    FILE *file = path ? fopen(path, "r+") : NULL;
    if (file) {
        if (fscanf(file, "%ld", &left) == 1 && left > 0) {
            rewind(file);
            fprintf(file, "%-20ld", left - 1);
        }
        fclose(file);
    }
    pthread_mutex_unlock(&one_by_one);
    return left > 0;
}

static int sync_or_fail(long call, int file) {
    if (is_left()) return (int)syscall(call, file);
    errno = EIO;
    return -1;
}

int fsync(int file) { return sync_or_fail(SYS_fsync, file); }
int fdatasync(int file) { return sync_or_fail(SYS_fdatasync, file); }
