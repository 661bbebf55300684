// The thread pool under ThreadSanitizer: batches submitted, awaited, cancelled and left behind by several threads at once, from fast
// and from slow storage.
//
//   threads FILE SECONDS      FILE: any JPEG
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "codec.h"

namespace {

enum { kSide = 32, kBatch = 12, kUsers = 4 };

std::atomic<bool> slow{false};
std::atomic<int> most_readers{0};

struct Job {
  std::vector<EtSample> samples{kBatch};
  std::vector<uint8_t> out = std::vector<uint8_t>(kBatch * 3 * kSide * kSide);
  std::vector<int32_t> status = std::vector<int32_t>(kBatch);
  std::vector<char> messages = std::vector<char>(kBatch * ET_MESSAGE);
  EtTicket* ticket = nullptr;

  Job(EtPool* pool, const char* path, const EtInfo& info, const EtFilter& filter, unsigned draw) {
    static const int fd = open(path, O_RDONLY);
    for (EtSample& s : samples) {
      s = {};
      s.entry.path = draw / 4 % 2 ? reinterpret_cast<int64_t>(path) : ~int64_t(fd);  // a file of its own, or an open one
      s.entry.width = uint16_t(info.width), s.entry.height = uint16_t(info.height + (draw % 11 == 0));  // damaged at times
      s.box[2] = s.full[0] = float(info.width), s.box[3] = s.full[1] = float(info.height);
      s.scale = uint8_t(1 << draw % 4);
    }
    EtBatch batch{samples.data(), kBatch, filter, -1, kSide, out.data(), nullptr, 1, 0, status.data(), messages.data()};
    et_submit(pool, &batch, &ticket);
  }
};

void use(EtPool* pool, const char* path, const EtInfo& info, const EtFilter& filter, unsigned seed,
         std::chrono::steady_clock::time_point end, std::atomic<long>& batches) {
  std::mt19937 draw(seed);
  while (std::chrono::steady_clock::now() < end) {
    Job a(pool, path, info, filter, draw()), b(pool, path, info, filter, draw());
    if (draw() % 3) while (!et_ticket_wait(a.ticket, 5)) continue;
    EtStats stats;
    et_pool_stats(pool, &stats);
    most_readers = std::max(most_readers.load(), int(et_pool_readers(pool)));
    if (draw() % 2) et_ticket_free(b.ticket), et_ticket_free(a.ticket);
    else et_ticket_free(a.ticket), et_ticket_free(b.ticket);
    batches += 2;
  }
}

}  // namespace

// The kernel's reads: at times they wait for storage.
extern "C" ssize_t pread(int fd, void* out, size_t bytes, off_t offset) {
  if (slow) usleep(300);
  return syscall(SYS_pread64, fd, out, bytes, offset);
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  std::FILE* file = std::fopen(argv[1], "rb");
  std::vector<uint8_t> data(1 << 20);
  data.resize(file ? std::fread(data.data(), 1, data.size(), file) : 0);
  EtInfo info;
  char message[ET_MESSAGE];
  if (et_peek(data.data(), data.size(), &info, message)) return std::puts(message), 2;
  float table[66], radius = 1;
  for (int i = 0; i < 66; i++) table[i] = i < 64 ? 1 - i / 64.f : 0;
  const EtFilter filter = {table, &radius, 1, 66, 64, 0, 1.f};
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(long(std::atof(argv[2]) * 1000));
  std::atomic<long> batches{0};
  long pools = 0;
  for (unsigned seed = 0; std::chrono::steady_clock::now() < end; pools++) {
    EtPool* pool = et_pool_new(3);
    slow = pools % 2;
    const auto stop = std::min(end, std::chrono::steady_clock::now() + std::chrono::milliseconds(300));
    std::vector<std::thread> users;
    for (int i = 0; i < kUsers; i++)
      users.emplace_back(use, pool, argv[1], std::cref(info), std::cref(filter), ++seed, stop, std::ref(batches));
    for (auto& user : users) user.join();
    Job left(pool, argv[1], info, filter, 1);  // outlives its pool
    et_pool_free(pool);
    et_ticket_free(left.ticket);
  }
  std::printf("%ld batches on %ld pools by %d threads; at most %d reading threads\n", batches.load(), pools, int(kUsers),
              most_readers.load());
  return most_readers ? 0 : 1;  // no read was ahead of decoding
}
