// How many reads are kept in flight ahead of decoding.
#pragma once
#include <algorithm>
#include <cstdint>

namespace et {

constexpr int64_t kSlowRead = 150000;  // ns; a read that takes longer waited for storage

// From the page cache a read takes some 20 us, and the thread that decodes a sample had better read it itself. From a disk or a
// network it takes 0.1 to 50 ms, and then many must be in flight, however few threads decode. So the number of reading threads
// follows what is seen: none while few reads are slow; else it grows with every sample that was not there in time.
class Pace {
 public:
  // A read of a sample took so long.
  void read(int64_t ns) {
    slow_ += ((ns > kSlowRead ? 1. : 0.) - slow_) / kMemory;
    if (readers_ == 0 && slow_ > kBegin) readers_ = kFirst;
    if (readers_ > 0 && slow_ < kEnd) readers_ = 0;
  }
  // A decoding thread came to a sample that had been read, or not.
  void met(bool read) {
    if (!read && readers_ > 0) readers_ = std::min(readers_ + 1, most_), in_time_ = 0;
    if (read && readers_ > kFirst && ++in_time_ == kPatience * readers_) readers_--, in_time_ = 0;
  }
  // The system gives no more threads than these.
  void limit(int readers) { most_ = readers, readers_ = std::min(readers_, most_); }
  int readers() const { return readers_; }

 private:
  static constexpr double kBegin = 0.2, kEnd = 0.05;      // shares of slow reads
  static constexpr int kMemory = 64;                      // reads
  static constexpr int kFirst = 4, kMost = 512, kPatience = 16;
  double slow_ = 0;
  int readers_ = 0, most_ = kMost, in_time_ = 0;
};

}  // namespace et
