// See low_pass.h.
#include "augment/low_pass.h"

#include "simd/loops.h"

namespace et {
namespace {

size_t up16(size_t n) { return (n + 15) & ~size_t(15); }

// Pillow's way: along the rows, rounded to levels, then down the columns. Sums run over whole rows, so the first pass works on
// the picture turned over.
bool by_lanczos(const EtLowPass& low, int side, const uint8_t* pixels, uint8_t* out, Scratch& s, Error& e) {
  const size_t wide = up16(side), narrow = up16(low.side);
  uint8_t* turned = s.moved.reserve(wide * wide + 2 * narrow * wide);
  if (!turned) return e.set(ET_IO, "out of memory for %d x %d pixels", side, side);
  uint8_t *columns = turned + wide * wide, *rows = columns + narrow * wide;
  for (int c = 0; c < 3; c++, pixels += size_t(side) * side) {
    loops().transpose_levels(pixels, side, int(wide), int(wide), turned, int(wide));
    for (int i = 0; i < low.side; i++)
      loops().weigh_rows(turned + low.taps[2 * i] * wide, wide, low.weights + size_t(i) * low.room, low.taps[2 * i + 1], side,
                         columns + i * wide);
    loops().transpose_levels(columns, int(wide), int(narrow), int(wide), rows, int(narrow));
    for (int i = 0; i < low.side; i++, out += low.side)
      loops().weigh_rows(rows + low.taps[2 * i] * narrow, narrow, low.weights + size_t(i) * low.room, low.taps[2 * i + 1],
                         low.side, out);
  }
  return true;
}

// One plane's low frequencies as rows of low.columns floats, and what to subtract from every second of them, and to add to the
// others, in turn.
const float* by_fourier(const EtLowPass& low, int side, const uint8_t* plane, float& corner, Scratch& s, Error& e) {
  const size_t wide = (size_t(side) + 7) & ~size_t(7);
  float* levels = s.moved.reserve_as<float>(size_t(side) * wide + low.rows * wide + size_t(low.rows) * low.columns);
  if (!levels) return e.set(ET_IO, "out of memory for %d x %d pixels", side, side), nullptr;
  float *rows = levels + size_t(side) * wide, *out = rows + low.rows * wide;
  for (int y = 0; y < side; y++) {
    float* to = levels + y * wide;
    for (int x = 0; x < side; x++) to[x] = plane[size_t(y) * side + x];
    for (size_t x = side; x < wide; x++) to[x] = 0;
  }
  loops().multiply(low.down, side, low.rows, side, levels, int(wide), rows);
  loops().multiply(rows, wide, low.rows, side, low.across, low.columns, out);
  corner = low.corner ? out[size_t(low.side) * low.columns + low.side] : 0;
  return out;
}

// Calls to(place, value) for each value of one plane, row by row.
template <class To>
void each_value(const EtLowPass& low, const float* rows, float corner, To to) {
  for (int y = 0; y < low.side; y++, rows += low.columns)
    for (int x = 0; x < low.side; x++) to(size_t(y) * low.side + x, (x + y) & 1 ? rows[x] + corner : rows[x] - corner);
}

}  // namespace

const uint8_t* low_pass(const EtLowPass& low, int side, const uint8_t* pixels, Scratch& s, Error& e) {
  const size_t area = size_t(low.side) * low.side;
  uint8_t* out = s.lowered.reserve(3 * area + 64);
  if (!out) return e.set(ET_IO, "out of memory for %d x %d pixels", low.side, low.side), nullptr;
  if (low.weights) return by_lanczos(low, side, pixels, out, s, e) ? out : nullptr;
  for (int c = 0; c < 3; c++) {
    float corner;
    const float* rows = by_fourier(low, side, pixels + size_t(c) * side * side, corner, s, e);
    if (!rows) return nullptr;
    uint8_t* plane = out + c * area;
    each_value(low, rows, corner, [=](size_t at, float value) {
      const float whole = 12582912;  // 1.5 * 2**23: floats of this size have no fraction, so the sum is rounded, half to even
      plane[at] = uint8_t((value < 0 ? 0 : value > 255 ? 255 : value) + whole - whole);
    });
  }
  return out;
}

bool low_pass_values(const EtLowPass& low, int side, const uint8_t* pixels, bool channels_last, float* out, Scratch& s, Error& e) {
  const size_t area = size_t(low.side) * low.side, step = channels_last ? 3 : 1;
  for (int c = 0; c < 3; c++) {
    float corner;
    const float* rows = by_fourier(low, side, pixels + size_t(c) * side * side, corner, s, e);
    if (!rows) return false;
    float* to = out + (channels_last ? size_t(c) : c * area);
    const float mean = low.normalise[c], std = low.normalise[3 + c];
    each_value(low, rows, corner, [=](size_t at, float value) { to[at * step] = (value / 255 - mean) / std; });
  }
  return true;
}

}  // namespace et
