// How many reads are kept in flight ahead of decoding, and the clock that decides it.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>

namespace et {

// Nanoseconds of a clock that is never set back.
inline int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr int64_t kSlowRead = 150000;  // ns; a read that takes longer waited for storage

// A read from the page cache takes some 20 us; the thread that decodes the sample does it fastest. A read from a disk or a network
// takes 0.1 to 50 ms; many must then be in flight, however few threads decode. So the number of reading threads follows the
// measured times: none while few reads are slow, else so many that the decoding threads wait for 1 to 3 % of their time. It may
// double while they only wait, and falls slowly: more threads than needed cost less than threads that wait, but they ask for fewer
// records at a time (`EtPool::run_of`), and more batches are in progress.
class Pace {
 public:
  // threads: that decode.
  explicit Pace(int threads) : threads_(threads) {}

  // Reports a read of a sample that took `ns` nanoseconds.
  void read(int64_t ns) {
    slow_ += ((ns > kSlowRead ? 1. : 0.) - slow_) / kMemory;
    if (readers_ == 0 && slow_ > kBegin) readers_ = kFirst;
    if (readers_ > 0 && slow_ < kEnd) readers_ = 0;
  }
  // Reports that a decoding thread has a sample's bytes, and waited `waited` ns for storage. now: of `now_ns`.
  void met(int64_t waited, int64_t now) {
    waited_ += waited;
    if (++samples_ < kWindow) return;
    const double share = waited_ / (double(now - since_ + 1) * threads_);
    if (readers_ > 0 && share > kMuch) readers_ = std::min(readers_ + 1 + int(readers_ * share), most_);
    if (readers_ > kFirst && share < kLittle) readers_ = std::max(readers_ - 1 - readers_ / kShrink, int(kFirst));
    samples_ = 0, waited_ = 0, since_ = now;
  }
  // The system allows no more threads than these.
  void limit(int readers) { most_ = readers, readers_ = std::min(readers_, most_); }
  int readers() const { return readers_; }

 private:
  static constexpr double kBegin = 0.2, kEnd = 0.05;      // shares of slow reads
  static constexpr double kMuch = 0.03, kLittle = 0.01;   // shares of the decoding threads' time
  static constexpr int kMemory = 64, kWindow = 64;        // reads, samples
  static constexpr int kFirst = 4, kMost = 512, kShrink = 64;
  const int threads_;
  double slow_ = 0;
  int readers_ = 0, most_ = kMost, samples_ = 0;
  int64_t waited_ = 0, since_ = 0;
};

}  // namespace et
