// Uses of libjpeg: decoding JPEGs that our decoder does not read, encoding, and its coefficient interface.
// None of these functions prints, throws or exits. A warning about entropy-coded data counts as damage.
#pragma once
#include "jpeg/planes.h"

namespace et {

enum : int64_t { kMaxPixels = int64_t(1) << 28 };  // larger images are refused before anything is allocated for them
enum { kMaxScans = 100 };  // a progressive photograph has about ten; thousands make a small file decode for hours

// Bytes that libjpeg skipped without any effect on pixels.
struct Oddities {
  size_t stray;  // bytes without meaning between segments and behind scans
  bool endless;  // EOI is missing
};

// Pixels of the whole image, interleaved RGB, at 1 / scale of its size.
bool decode_rgb(const uint8_t* jpeg, size_t size, int scale, uint8_t* out, size_t capacity, Error&);

// Interleaved pixels -> baseline, 4:4:4, restart markers not set, standard Huffman tables.
bool encode_rgb(const uint8_t* rgb, int width, int height, int quality, Bytes& out, Error&);

// The same coefficients as one interleaved baseline scan. `odd`: the bytes skipped.
bool to_baseline(const uint8_t* jpeg, size_t size, Bytes& out, Oddities& odd, Error&);

}  // namespace et
