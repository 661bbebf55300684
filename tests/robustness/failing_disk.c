// A disk that fails: preloaded, it makes reads of *.beton go wrong once `shim_arm` was called. It also counts requests to fetch them.
// cc -shared -fPIC -o shim.so shim.c -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { kOff, kError, kSlow, kShort, kInterrupted };
static atomic_int mode, every = 1;
static atomic_long calls, hits, fetches;

void shim_arm(int how, int nth) {
  atomic_store(&calls, 0), atomic_store(&every, nth), atomic_store(&mode, how);
}

long shim_hits(void) { return atomic_exchange(&hits, 0); }

long shim_fetches(void) { return atomic_exchange(&fetches, 0); }

static int is_beton(int fd) {
  char link[64], name[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, name, sizeof name);
  return n > 6 && !memcmp(name + n - 6, ".beton", 6);
}

ssize_t pread64(int fd, void* out, size_t size, off64_t offset) {
  static ssize_t (*_Atomic real)(int, void*, size_t, off64_t);
  if (!real) real = (ssize_t(*)(int, void*, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
  const int how = atomic_load(&mode);
  if (how != kOff && is_beton(fd) && atomic_fetch_add(&calls, 1) % atomic_load(&every) == 0) {
    atomic_fetch_add(&hits, 1);
    if (how == kError) return errno = EIO, -1;
    if (how == kInterrupted) return errno = EINTR, -1;
    if (how == kSlow) nanosleep(&(struct timespec){0, 20000000}, NULL);
    if (how == kShort && size > 1) size = size / 2;
  }
  return real(fd, out, size, offset);
}

ssize_t pread(int fd, void* out, size_t size, off_t offset) { return pread64(fd, out, size, offset); }

int posix_fadvise64(int fd, off64_t offset, off64_t size, int advice) {
  static int (*_Atomic real)(int, off64_t, off64_t, int);
  if (!real) real = (int (*)(int, off64_t, off64_t, int))dlsym(RTLD_NEXT, "posix_fadvise64");
  if (advice == POSIX_FADV_WILLNEED && is_beton(fd)) atomic_fetch_add(&fetches, 1);
  return real(fd, offset, size, advice);
}

int posix_fadvise(int fd, off_t offset, off_t size, int advice) { return posix_fadvise64(fd, offset, size, advice); }
