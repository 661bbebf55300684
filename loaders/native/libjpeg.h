// What libjpeg does for us: decoding what the own decoder does not read, encoding, and its coefficient interface.
// None of these functions prints, throws or exits; a warning counts as damage.
#pragma once
#include "planes.h"

namespace et {

enum : int64_t { kMaxPixels = int64_t(1) << 28 };  // larger images are refused before anything is allocated for them

// Pixels of the whole image, interleaved RGB, at 1 / scale of its size.
bool decode_rgb(const uint8_t* jpeg, size_t size, int scale, uint8_t* out, size_t capacity, Error&);

// Interleaved pixels -> baseline, 4:4:4, restart markers not set, standard Huffman tables.
bool encode_rgb(const uint8_t* rgb, int width, int height, int quality, Bytes& out, Error&);

// The same coefficients as one interleaved baseline scan. `extraneous`: bytes without meaning before EOI that were skipped.
bool to_baseline(const uint8_t* jpeg, size_t size, Bytes& out, int& extraneous, Error&);
bool read_coefficients(const uint8_t* jpeg, size_t size, int16_t* out, size_t capacity, Error&);

}  // namespace et
