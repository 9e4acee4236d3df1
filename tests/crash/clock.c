/* Preloaded into the relay: its wall clock differs by the seconds in the file that RINGBACK_TEST_CLOCK names, and may be
 * set while it runs.
 *
 * A wait until a time of the wall clock behaves as the kernel's does when the clock is set: it ends when the new clock
 * shows that time. The monotonic clock is left alone, as settimeofday leaves it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("RINGBACK_TEST_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) abort();
  void *at = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
  if (at == MAP_FAILED) abort();
  offset = at;
  close(file);
}

static void real(struct timespec *to) { syscall(SYS_clock_gettime, CLOCK_REALTIME, to); }

int clock_gettime(clockid_t id, struct timespec *to) {
  int result = (int)syscall(SYS_clock_gettime, id, to);
  if (result == 0 && offset && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) to->tv_sec += *offset;
  return result;
}
int gettimeofday(struct timeval *restrict to, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  to->tv_sec = now.tv_sec;
  to->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *to) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (to) *to = now.tv_sec;
  return now.tv_sec;
}
int timespec_get(struct timespec *to, int base) {
  return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, to) == 0 ? base : 0;
}

/* Nanoseconds until `until` by the set clock. `end` is at most 20 ms away, so that the offset is read again by then. */
static int64_t slice(const struct timespec *until, struct timespec *end) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t left = (int64_t)(until->tv_sec - now.tv_sec) * 1000000000 + (until->tv_nsec - now.tv_nsec);
  int64_t part = left < 20000000 ? left : 20000000;
  real(end);
  end->tv_nsec += part > 0 ? part : 0;
  if (end->tv_nsec >= 1000000000) end->tv_sec++, end->tv_nsec -= 1000000000;
  return left;
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
  static int (*next)(cnd_t *, mtx_t *, const struct timespec *);
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "cnd_timedwait");
  struct timespec end;
  while (slice(until, &end) > 0) {
    int result = next(condition, mutex, &end);
    if (result != thrd_timedout) return result;
  }
  return thrd_timedout;
}
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  struct timespec end;
  while (slice(until, &end) > 0) {
    int result = next(condition, mutex, &end);
    if (result != ETIMEDOUT) return result;
  }
  return ETIMEDOUT;
}
