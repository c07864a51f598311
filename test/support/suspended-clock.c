/*
 * Preloaded into a process (LD_PRELOAD), it lets the clocks that stand still while a machine is suspended stand still:
 * CLOCK_MONOTONIC, with _RAW and _COARSE, is behind the machine's by as many nanoseconds as a file says. The wall clock and
 * the time since boot stay true. The file, <SUSPENDED_CLOCK_FOLDER>/<pid>, holds one int64 and is made here, so that
 * its being there says that the process is under it. See suspended-clock.ts.
 *
 * What sleeps until an absolute time (pthread_cond_timedwait) is not translated: Node's event loop counts in spans.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int64_t NANOS = 1000000000;
static const volatile int64_t never = 0;
static const volatile int64_t *suspended_nanos = &never;

__attribute__((constructor)) static void map_announcement(void) {
  const char *folder = getenv("SUSPENDED_CLOCK_FOLDER");
  if (folder == NULL) return;
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return;
  if (ftruncate(file, sizeof *suspended_nanos) == 0) {
    void *mapped = mmap(NULL, sizeof *suspended_nanos, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) suspended_nanos = mapped;
  }
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = (int)syscall(SYS_clock_gettime, clock, time);
  if (result != 0) return result;
  if (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_RAW && clock != CLOCK_MONOTONIC_COARSE) return 0;
  int64_t nanos = time->tv_sec * NANOS + time->tv_nsec - *suspended_nanos;
  time->tv_sec = nanos / NANOS;
  time->tv_nsec = nanos % NANOS;
  return 0;
}
