// What libstdc++ of a newer system asks of glibc, in terms of glibc 2.28, so that the kernel also loads there.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define LOCAL __attribute__((visibility("hidden")))

LOCAL char __libc_single_threaded = 0;  // glibc 2.32: whether atomic operations may be left out; never

LOCAL uint32_t arc4random(void) {  // glibc 2.36: seeds std::random_device, which the kernel does not use
  uint32_t word = 0;
  (void)!getentropy(&word, sizeof word);
  return word;
}

int __fxstat(int version, int fd, struct stat* out);
LOCAL int fstat(int fd, struct stat* out) {  // glibc 2.33; an inline function before
#if defined(__x86_64__)
  return __fxstat(1, fd, out);
#else
  return __fxstat(0, fd, out);
#endif
}

// glibc 2.30: waits by a given clock. Before, conditions know the wall clock only: the time left is added to that.
LOCAL int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                                 const struct timespec* until) {
  struct timespec now, wall;
  clock_gettime(clock, &now);
  clock_gettime(CLOCK_REALTIME, &wall);
  int64_t nanoseconds = (int64_t)(until->tv_sec - now.tv_sec) * 1000000000 + (until->tv_nsec - now.tv_nsec);
  if (nanoseconds < 0) nanoseconds = 0;
  nanoseconds += wall.tv_nsec;
  wall.tv_sec += nanoseconds / 1000000000;
  wall.tv_nsec = nanoseconds % 1000000000;
  return pthread_cond_timedwait(condition, mutex, &wall);
}
