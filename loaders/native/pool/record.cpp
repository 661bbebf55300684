// See record.h.
#include "pool/record.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "jpeg/row_check.h"

namespace et {
namespace {

enum : uint64_t { kWorthwhile = 8192 };
std::atomic<int> opened_files{0};  // by all threads here

bool too_many() { return errno == EMFILE || errno == ENFILE; }

// Where too many files are open, this waits for as long as some of them are ours, because those are closed soon.
int open_file(const char* path) {
  enum { kAlone = 10, kTries = 10000 };  // a millisecond apart
  for (int alone = 0, tries = 1;; tries++) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) opened_files++;
    if (fd >= 0 || !too_many()) return fd;
    alone = opened_files > 0 ? 0 : alone + 1;
    if (alone == kAlone || tries == kTries) return fd;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

File::File(int64_t path, int fd)
    : own_(path > 0),
      fd_(own_ ? open_file(reinterpret_cast<const char*>(path)) : path ? int(~path) : fd) {}

File::~File() {
  if (own_ && fd_ >= 0) close(fd_), opened_files--;
}

bool File::opened(Error& e) const {
  return fd_ >= 0 || e.set(too_many() ? ET_EXHAUSTED : ET_IO, "cannot be opened: %s", std::strerror(errno));
}

bool File::size(uint64_t& bytes, Error& e) const {
  struct stat facts;
  if (fstat(fd_, &facts) != 0) return e.set(ET_IO, "cannot be examined: %s", std::strerror(errno));
  bytes = facts.st_size;
  return S_ISREG(facts.st_mode) || e.set(ET_IO, "is no regular file");
}

bool File::read(uint8_t* out, uint64_t bytes, uint64_t offset, Error& e) const {
  while (bytes) {
    const ssize_t got = pread(fd_, out, bytes, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return e.set(ET_IO, "cannot be read at byte %llu: %s", (unsigned long long)offset, std::strerror(errno));
    if (got == 0)
      return e.set(ET_IO, "ends at byte %llu, %llu more expected", (unsigned long long)offset, (unsigned long long)bytes);
    out += got, offset += got, bytes -= got;
  }
  return true;
}

void File::fetch(uint64_t bytes, uint64_t offset) const {
#ifdef POSIX_FADV_WILLNEED
  posix_fadvise(fd_, off_t(offset), off_t(bytes), POSIX_FADV_WILLNEED);
#endif
}

Reading::Reading(const EtSample& sample, int fd, bool all, Buffer& memory, Record& out, Error& e)
    : sample_(sample), file_(sample.entry.path, fd), out_(out), e_(e) {
  if (!file_.opened(e) || !begin(all, memory)) bytes_ = 0;
}

Reading::Reading(const EtSample& sample, const Box& region, int fd, Buffer& memory, Record& out, Error& e)
    : sample_(sample), file_(sample.entry.path, fd), out_(out), e_(e) {
  const uint64_t pitch = uint64_t(sample.entry.width) * 3, bytes = pitch * (region.y1 - region.y0);
  to_ = bytes <= kMaxBytes ? memory.reserve(bytes + 16) : nullptr;
  if (!to_) e.set(ET_IO, "out of memory for %llu bytes", (unsigned long long)bytes);
  else if (file_.opened(e)) bytes_ = bytes, offset_ = sample.entry.offset + pitch * region.y0, out = {to_, size_t(bytes), {}, false};
}

bool Reading::begin(bool all, Buffer& memory) {
  const EtEntry& entry = sample_.entry;
  uint64_t size = entry.size;
  if (!size) {
    if (!file_.size(size, e_)) return false;
    if (size <= uint64_t(entry.offset)) return e_.set(ET_DAMAGED, "the file is empty");
    size -= entry.offset;
  }
  count_ = int(entry.rows);
  const uint64_t table = table_bytes(entry.rows);
  const uint64_t mcu_h = (entry.height + 7u) / 8 == entry.rows ? 8 : (entry.height + 15u) / 16 == entry.rows ? 16 : 32;
  if (size > kMaxBytes || entry.rows > 8192 || table > uint64_t(entry.offset) || entry.head > size || (count_ && !entry.head))
    return e_.set(ET_DAMAGED, "the index gives %llu bytes, %u rows, %u header bytes", (unsigned long long)size, entry.rows,
                  entry.head);
  uint8_t* buffer = memory.reserve(table + size + 16);
  if (!buffer) return e_.set(ET_IO, "out of memory for %llu bytes", (unsigned long long)size);
  out_ = {buffer + table, size_t(size), {}, false};
  to_ = buffer, offset_ = entry.offset - table, bytes_ = table + size;
  if (!count_) return true;
  // The region is the box and the taps' margin from an even whole pixel of the scaled image on, chroma's triangle filter looks
  // two of those further, and where an MCU is one sample wide, planes begin at an even MCU.
  const float margin = (sample_.scale == 8 ? 6.f : 4.f) * sample_.scale + sample_.margin;
  r0_ = std::min(count_ - 1, int(std::max(0.f, sample_.box[1] - margin) / mcu_h));
  r1_ = std::max(r0_ + 1, std::min(count_, int((sample_.box[3] + margin) / mcu_h) + 1));
  if (all) r0_ = 0, r1_ = count_;
  const uint64_t guess = (size - entry.head) * (count_ - (r1_ - r0_)) / count_;
  out_.partial = guess >= kWorthwhile;
  if (out_.partial) bytes_ = table + entry.head;
  table_ = buffer;
  return true;
}

bool Reading::find_rows() {
  const EtEntry& entry = sample_.entry;
  const uint32_t* const row = rows();
  for (int r = 0; r < count_; r++)
    if (row[r] >= out_.held || row[r] < (r ? row[r - 1] : entry.head))
      return e_.set(ET_DAMAGED, "the row table says that MCU row %d begins at byte %u of %llu", r, row[r],
                    (unsigned long long)out_.held);
  uint8_t* const jpeg = const_cast<uint8_t*>(out_.jpeg);
  scan_ = jpeg + (out_.partial ? entry.head : row[r0_]), scan_bytes_ = (r1_ < count_ ? row[r1_] : out_.held) - row[r0_];
  if (out_.partial) to_ = scan_, offset_ = entry.offset + row[r0_], bytes_ = scan_bytes_;
  return true;
}

// Compares the headers and the MCU rows with their checks.
bool Reading::intact() const {
  const uint32_t *const check = reinterpret_cast<const uint32_t*>(table_), *const row = rows();
  if (check[0] != row_check(reinterpret_cast<const uint8_t*>(row), size_t(count_) * 4 + sample_.entry.head))
    return e_.set(ET_DAMAGED, "the headers do not match their check");
  for (int r = r0_; r < r1_; r++) {
    const size_t from = row[r] - row[r0_], to = r + 1 < r1_ ? row[r + 1] - row[r0_] : scan_bytes_;
    if (check[1 + r] != row_check(scan_ + from, to - from))
      return e_.set(ET_DAMAGED, "MCU row %d does not match its check", r);
  }
  return true;
}

void Reading::next(EtStats& stats) {
  const uint64_t bytes = std::exchange(bytes_, 0);
  if (!file_.read(to_, bytes, offset_, e_)) return;
  stats.bytes_read += bytes;
  if (!count_) return;
  if (!scan_bytes_ && (!find_rows() || bytes_)) return;
  if (!intact()) return;
  uint32_t* const relative = const_cast<uint32_t*>(rows());
  const uint32_t from = relative[r0_];
  for (int r = r0_; r < r1_; r++) relative[r - r0_] = relative[r] - from;
  out_.source = {scan_, size_t(scan_bytes_), r0_, relative, r1_ - r0_};
  if (out_.partial) out_.held = sample_.entry.head;
}

bool Reading::finish(EtStats& stats) {
  while (!done()) next(stats);
  return e_.status == ET_OK;
}

}  // namespace et
