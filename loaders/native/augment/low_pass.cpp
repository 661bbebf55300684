// See low_pass.h.
#include "augment/low_pass.h"

#include <algorithm>
#include <functional>

#include "simd/loops.h"

namespace et {
namespace {

// Pillow's way: along the rows, rounded to levels, then down the columns. Sums run over whole rows, so the first pass works on
// the image turned over.
bool by_lanczos(const EtLowPass& low, int side, const uint8_t* pixels, uint8_t* out, Scratch& s, Error& e) {
  const size_t wide = up16(size_t(side)), narrow = up16(size_t(low.side));
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

// One plane's low frequencies: B x B values, and what else to add: `more` to row 0, `more + 1` to row 1, and so on in turn.
struct Lowered {
  const float *values, *more;
};

// Note [folding]: the Fourier crop's matrix stays the same when its rows and its columns are both counted backwards: row B - j at
// column S - n, for images of S x S pixels, is row j at column n. So sums of opposite pixels times an even part, and their
// differences times an odd part, make outputs j and B - j at once, by half the products. Pixel 0 and, for even S, the one in the
// middle stand alone. The odd part's last row is that of Note [Nyquist] in low_frequency.py.
Lowered by_fourier(const EtLowPass& low, int side, const uint8_t* plane, Scratch& s, Error& e) {
  const int even = side / 2 + 1, odd = (side - 1) / 2, small = low.side, pairs = (small - 1) / 2;
  const int used = small + low.corner, lines = (used + 3) & ~3;
  const size_t wide = (size_t(side) + 7) & ~size_t(7);
  const size_t first = (side + low.rows_even + low.rows_odd + 1) * wide;
  const size_t second = size_t(lines) * (side + low.columns_even + low.columns_odd);
  float* free = s.moved.reserve_as<float>(first + second + size_t(small) * small + small + 1);
  if (!free) return e.set(ET_IO, "out of memory for %d x %d pixels", side, side), Lowered{};
  const auto room = [&free](size_t rows, size_t columns) { return free += rows * columns, free - rows * columns; };

  float *sums = room(even, wide), *differences = room(odd, wide);
  std::fill_n(sums, side * wide, 0.f);
  for (int y = 0; y <= side / 2; y++) {
    const uint8_t *const row = plane + size_t(y) * side, *const opposite = plane + size_t(side - y) * side;
    if (y == 0 || 2 * y == side) std::copy_n(row, side, sums + y * wide);
    else loops().fold_levels(row, opposite, side, sums + y * wide, differences + (y - 1) * wide);
  }
  float *upper = room(low.rows_even, wide), *lower = room(low.rows_odd, wide), *const line = room(1, wide);
  loops().multiply(low.down_even, even, low.rows_even, even, sums, int(wide), upper);
  loops().multiply(low.down_odd, odd, low.rows_odd, odd, differences, int(wide), lower);

  sums = room(lines, even), differences = room(lines, odd);
  std::fill_n(sums, size_t(lines) * side, 0.f);
  for (int y = 0; y < used; y++) {
    const int j = std::min(y, small - y);
    const float* from = line;
    if (y == small) from = lower + pairs * wide;
    else if (j == 0 || 2 * j == small) from = upper + j * wide;
    else if (j == y) std::transform(upper + j * wide, upper + j * wide + side, lower + (j - 1) * wide, line, std::plus<float>());
    else std::transform(upper + j * wide, upper + j * wide + side, lower + (j - 1) * wide, line, std::minus<float>());
    loops().fold_line(from, side, sums + size_t(y) * even, differences + size_t(y) * odd);
  }
  float *left = room(lines, low.columns_even), *right = room(lines, low.columns_odd);
  loops().multiply(sums, even, lines, even, low.across_even, low.columns_even, left);
  loops().multiply(differences, odd, lines, odd, low.across_odd, low.columns_odd, right);

  float *const values = room(small, small), *const more = room(1, small + 1);
  for (size_t y = 0; y < size_t(small); y++)
    loops().unfold_line(left + y * low.columns_even, right + y * low.columns_odd, small, values + y * small);
  const float corner = low.corner ? right[size_t(small) * low.columns_odd + pairs] : 0;
  for (int x = 0; x <= small; x++) more[x] = x & 1 ? corner : -corner;
  return {values, more};
}

}  // namespace

const uint8_t* low_pass(const EtLowPass& low, int side, const uint8_t* pixels, Scratch& s, Error& e) {
  const size_t area = size_t(low.side) * low.side;
  uint8_t* out = s.lowered.reserve(3 * area + 64);
  if (!out) return e.set(ET_IO, "out of memory for %d x %d pixels", low.side, low.side), nullptr;
  if (low.weights) return by_lanczos(low, side, pixels, out, s, e) ? out : nullptr;
  for (int c = 0; c < 3; c++) {
    const Lowered plane = by_fourier(low, side, pixels + size_t(c) * side * side, s, e);
    if (!plane.values) return nullptr;
    for (size_t y = 0, wide = low.side; y < wide; y++)
      loops().round_levels(plane.values + y * wide, plane.more + (y & 1), low.side, out + c * area + y * wide);
  }
  return out;
}

bool low_pass_values(const EtLowPass& low, int side, const uint8_t* pixels, bool channels_last, float* out, Scratch& s, Error& e) {
  const size_t area = size_t(low.side) * low.side, step = channels_last ? 3 : 1;
  for (int c = 0; c < 3; c++) {
    const Lowered plane = by_fourier(low, side, pixels + size_t(c) * side * side, s, e);
    if (!plane.values) return false;
    float* to = out + (channels_last ? size_t(c) : c * area);
    const float mean = low.normalise[c], std = low.normalise[3 + c];
    for (int y = 0; y < low.side; y++) {
      const float *const values = plane.values + size_t(y) * low.side, *const more = plane.more + (y & 1);
      for (int x = 0; x < low.side; x++, to += step) *to = ((values[x] + more[x]) / 255 - mean) / std;
    }
  }
  return true;
}

}  // namespace et
