// Preloaded into a process: every pread takes SLOW_READS nanoseconds longer, as on a slow file system.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct timespec delay;
static ssize_t (*real)(int, void*, size_t, off64_t);

__attribute__((constructor)) static void begin(void) {
  const char* set = getenv("SLOW_READS");
  const long long nanoseconds = set ? atoll(set) : 0;
  delay.tv_sec = nanoseconds / 1000000000, delay.tv_nsec = nanoseconds % 1000000000;
  real = (ssize_t(*)(int, void*, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
}

ssize_t pread64(int fd, void* out, size_t size, off64_t offset) {
  nanosleep(&delay, NULL);
  return real(fd, out, size, offset);
}

ssize_t pread(int fd, void* out, size_t size, off_t offset) { return pread64(fd, out, size, offset); }
