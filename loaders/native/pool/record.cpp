// See record.h.
#include "pool/record.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "jpeg/row_check.h"

namespace et {

File::File(int64_t path, int fd)
    : own_(path > 0),
      fd_(own_ ? open(reinterpret_cast<const char*>(path), O_RDONLY | O_CLOEXEC | O_NONBLOCK) : path ? int(~path) : fd) {}

File::~File() {
  if (own_ && fd_ >= 0) close(fd_);
}

bool File::opened(Error& e) const { return fd_ >= 0 || e.set(ET_IO, "cannot be opened: %s", std::strerror(errno)); }

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

namespace {

enum : uint64_t { kWorthwhile = 8192 };

// Compares the bytes read with their checks: the headers' and those of MCU rows [r0, r1), which begin at `scan`.
bool intact(const uint32_t* check, const uint32_t* rows, int count, uint32_t head, int r0, int r1, const uint8_t* scan,
            size_t scan_size, Error& e) {
  if (check[0] != row_check(reinterpret_cast<const uint8_t*>(rows), size_t(count) * 4 + head))
    return e.set(ET_DAMAGED, "the headers do not match their check");
  for (int r = r0; r < r1; r++) {
    const size_t from = rows[r] - rows[r0], to = r + 1 < r1 ? rows[r + 1] - rows[r0] : scan_size;
    if (check[1 + r] != row_check(scan + from, to - from))
      return e.set(ET_DAMAGED, "MCU row %d does not match its check", r);
  }
  return true;
}

}  // namespace

bool read_bytes(const EtSample& sample, int fd, bool all, Buffer& memory, Record& out, EtStats& stats, Error& e) {
  const EtEntry& entry = sample.entry;
  const File file(entry.path, fd);
  if (!file.opened(e)) return false;
  uint64_t size = entry.size;
  if (!size) {
    if (!file.size(size, e)) return false;
    if (size <= uint64_t(entry.offset)) return e.set(ET_DAMAGED, "the file is empty");
    size -= entry.offset;
  }
  const int count = int(entry.rows);
  const uint64_t table = table_bytes(entry.rows);
  const uint64_t mcu_h = (entry.height + 7u) / 8 == entry.rows ? 8 : (entry.height + 15u) / 16 == entry.rows ? 16 : 32;
  if (size > kMaxBytes || entry.rows > 8192 || table > uint64_t(entry.offset) || entry.head > size || (count && !entry.head))
    return e.set(ET_DAMAGED, "the index gives %llu bytes, %u rows, %u header bytes", (unsigned long long)size, entry.rows,
                 entry.head);
  uint8_t* buffer = memory.reserve(table + size + 16);
  if (!buffer) return e.set(ET_IO, "out of memory for %llu bytes", (unsigned long long)size);
  out = {buffer + table, size_t(size), {}, false};
  if (!count) {
    stats.bytes_read += size;
    return file.read(buffer, size, entry.offset, e);
  }
  // The region is the box and the taps' margin from an even whole pixel of the scaled image on, chroma's triangle filter looks
  // two of those further, and where an MCU is one sample wide, planes begin at an even MCU.
  const float margin = (sample.scale == 8 ? 6.f : 4.f) * sample.scale + sample.margin;
  int r0 = std::min(count - 1, int(std::max(0.f, sample.box[1] - margin) / mcu_h));
  int r1 = std::max(r0 + 1, std::min(count, int((sample.box[3] + margin) / mcu_h) + 1));
  if (all) r0 = 0, r1 = count;
  const uint64_t guess = (size - entry.head) * (count - (r1 - r0)) / count;
  out.partial = guess >= kWorthwhile;
  const uint64_t first = table + (out.partial ? entry.head : size);
  if (!file.read(buffer, first, entry.offset - table, e)) return false;
  stats.bytes_read += first;
  const uint32_t *const check = reinterpret_cast<const uint32_t*>(buffer), *const rows = check + count + 1;
  for (int r = 0; r < count; r++)
    if (rows[r] >= size || rows[r] < (r ? rows[r - 1] : entry.head))
      return e.set(ET_DAMAGED, "the row table says that MCU row %d begins at byte %u of %llu", r, rows[r],
                   (unsigned long long)size);
  const uint64_t from = rows[r0], to = r1 < count ? rows[r1] : size;
  uint8_t* scan = out.partial ? buffer + table + entry.head : buffer + table + from;
  if (out.partial) {
    if (!file.read(scan, to - from, entry.offset + from, e)) return false;
    stats.bytes_read += to - from;
  }
  if (!intact(check, rows, count, entry.head, r0, r1, scan, to - from, e)) return false;
  uint32_t* relative = const_cast<uint32_t*>(rows);
  for (int r = r0; r < r1; r++) relative[r - r0] = uint32_t(rows[r] - from);
  out.source = {scan, size_t(to - from), r0, relative, r1 - r0};
  if (out.partial) out.held = entry.head;
  return true;
}

bool read_rows(const EtSample& sample, const Box& region, int fd, Buffer& memory, Record& out, EtStats& stats, Error& e) {
  const EtEntry& entry = sample.entry;
  const uint64_t pitch = uint64_t(entry.width) * 3, bytes = pitch * (region.y1 - region.y0);
  uint8_t* buffer = bytes <= kMaxBytes ? memory.reserve(bytes + 16) : nullptr;
  if (!buffer) return e.set(ET_IO, "out of memory for %llu bytes", (unsigned long long)bytes);
  const File file(entry.path, fd);
  if (!file.opened(e) || !file.read(buffer, bytes, entry.offset + pitch * region.y0, e)) return false;
  stats.bytes_read += bytes;
  out = {buffer, size_t(bytes), {}, false};
  return true;
}

}  // namespace et
