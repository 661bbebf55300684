// What libjpeg does for us: decoding what the own decoder does not read, encoding, and its coefficient interface.
// None of these functions prints, throws or exits; a warning counts as damage.
#pragma once
#include <cstdlib>
#include <cstring>

#include "planes.h"

namespace et {

enum : int64_t { kMaxPixels = int64_t(1) << 28 };  // larger images are refused before anything is allocated for them

// Growing bytes in malloc's memory, so that a caller behind the C ABI can own them.
class Bytes {
 public:
  Bytes() = default;
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  ~Bytes() { std::free(data_); }

  // Room for `more` bytes behind `size`.
  bool room(size_t more) {
    if (size + more <= capacity_) return true;
    const size_t wanted = (size + more) + (size + more) / 2;
    void* grown = std::realloc(data_, wanted);
    if (!grown) return false;
    data_ = static_cast<uint8_t*>(grown), capacity_ = wanted;
    return true;
  }
  uint8_t* data() const { return data_; }
  size_t capacity() const { return capacity_; }
  uint8_t* release() {
    uint8_t* data = data_;
    data_ = nullptr, size = capacity_ = 0;
    return data;
  }

  size_t size = 0;

 private:
  uint8_t* data_ = nullptr;
  size_t capacity_ = 0;
};

// Pixels of the whole image, interleaved RGB, at 1 / scale of its size.
bool decode_rgb(const uint8_t* jpeg, size_t size, int scale, uint8_t* out, size_t capacity, Error&);

// Baseline, 4:4:4 (or grey), restart markers not set, standard Huffman tables.
bool encode_rgb(const uint8_t* interleaved, int width, int height, int quality, Bytes& out, Error&);
bool encode_planes(const uint8_t* planes, int count, Color, int width, int height, int quality, Bytes& out, Error&);

// The same coefficients as one interleaved baseline scan. `extraneous`: bytes without meaning before EOI that were skipped.
bool to_baseline(const uint8_t* jpeg, size_t size, Bytes& out, int& extraneous, Error&);
bool read_coefficients(const uint8_t* jpeg, size_t size, int16_t* out, size_t capacity, Error&);

}  // namespace et
