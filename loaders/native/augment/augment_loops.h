// RandAugment's inner loops. Each has the pixels of its namesake in loaders/transforms/randaugment_ops.py.
#pragma once
#include <algorithm>
#include <cmath>

#include "simd/loops.h"
#include "simd/vectors.h"

namespace et {
namespace ET_BUILD {

// Adds each level's frequency to `counts`, which has 256 elements.
static void count_levels(const uint8_t* pixels, size_t n, uint32_t* counts) {
  uint32_t part[4][256] = {};  // neighbours are often equal, and an element just written is slow to read again
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, pixels + i, 8);
    for (int k = 0; k < 8; k++) part[k & 3][eight >> 8 * k & 255]++;
  }
  for (; i < n; i++) part[0][pixels[i]]++;
  for (int v = 0; v < 256; v++) counts[v] += part[0][v] + part[1][v] + part[2][v] + part[3][v];
}

static void level_range(const uint8_t* pixels, size_t n, uint8_t& low, uint8_t& high) {
  uint8_t least = 255, most = 0;
  for (size_t i = 0; i < n; i++) {
    least = std::min(least, pixels[i]);
    most = std::max(most, pixels[i]);
  }
  low = least, high = most;
}

// Luma of ITU-R 601 in Pillow's fixed-point arithmetic.
static void grey_levels(const uint8_t* __restrict red, const uint8_t* __restrict green, const uint8_t* __restrict blue, int n,
                        uint8_t* __restrict out) {
  int i = 0;
#if defined(ET_AVX2)
  // 38470 does not fit into 16 bits, so half of it weighs twice the green; 2 * 16384 rounds
  const __m256i first = _mm256_set1_epi32(19595 | 19235 << 16), second = _mm256_set1_epi32(7471 | 16384 << 16);
  const __m256i two = _mm256_set1_epi16(2);
  const auto load = [&](const uint8_t* at) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)at)); };
  const auto weigh = [&](__m256i a, __m256i b) {
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_madd_epi16(a, first), _mm256_madd_epi16(b, second)), 16);
  };
  for (; i + 16 <= n; i += 16) {
    const __m256i r = load(red + i), g = load(green + i), b = load(blue + i), twice = _mm256_add_epi16(g, g);
    const __m256i words = _mm256_packs_epi32(weigh(_mm256_unpacklo_epi16(r, twice), _mm256_unpacklo_epi16(b, two)),
                                             weigh(_mm256_unpackhi_epi16(r, twice), _mm256_unpackhi_epi16(b, two)));
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0xD8);
    _mm_storeu_si128((__m128i*)(out + i), _mm256_castsi256_si128(bytes));
  }
#endif
  for (; i < n; i++) out[i] = uint8_t((red[i] * 19595 + green[i] * 38470 + blue[i] * 7471 + 0x8000) >> 16);
}

enum { kRun = 1024 };  // pixels done together, so that what lies between two steps stays in the first cache

static int64_t grey_sum(const uint8_t* rgb, size_t area) {
  int64_t total = 0;
  uint8_t luma[kRun];
  for (size_t start = 0; start < area; start += kRun) {
    const int n = int(std::min<size_t>(kRun, area - start));
    grey_levels(rgb + start, rgb + area + start, rgb + 2 * area + start, n, luma);
    uint32_t sum = 0;
    for (int i = 0; i < n; i++) sum += luma[i];
    total += sum;
  }
  return total;
}

#if defined(ET_AVX2)
// 32 levels of 256: sixteen tables of sixteen, looked up by the lower four bits and chosen between by the upper ones.
static inline __m256i look_up_levels(__m256i levels, const uint8_t* table) {
  const auto among = [&](int k) {
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)(table + 16 * k))),
                               _mm256_and_si256(levels, _mm256_set1_epi8(15)));
  };
  // the choice is by each byte's highest bit
  const __m256i by16 = _mm256_slli_epi16(levels, 3), by32 = _mm256_slli_epi16(levels, 2), by64 = _mm256_slli_epi16(levels, 1);
  __m256i part[4];
#pragma GCC unroll 4
  for (int k = 0; k < 4; k++)
    part[k] = _mm256_blendv_epi8(_mm256_blendv_epi8(among(4 * k), among(4 * k + 1), by16),
                                 _mm256_blendv_epi8(among(4 * k + 2), among(4 * k + 3), by16), by32);
  return _mm256_blendv_epi8(_mm256_blendv_epi8(part[0], part[1], by64), _mm256_blendv_epi8(part[2], part[3], by64), levels);
}
#endif

static void map_levels(const uint8_t* from, size_t n, const uint8_t* table, uint8_t* to) {
  size_t i = 0;
#if defined(ET_AVX2)
  for (; i + 32 <= n; i += 32)
    _mm256_storeu_si256((__m256i*)(to + i), look_up_levels(_mm256_loadu_si256((const __m256i*)(from + i)), table));
#endif
  for (; i < n; i++) to[i] = table[from[i]];
}

// From `degenerate` (a factor of 0) to `levels` (1) and beyond, in the order and precision of Pillow's blend; truncated.
static void blend(const uint8_t* __restrict degenerate, const uint8_t* __restrict levels, int n, float factor,
                  uint8_t* __restrict out) {
  int i = 0;
#if defined(ET_AVX2)
  const __m256 by = _mm256_set1_ps(factor);
  const auto eight = [&](int at) {
    const auto load = [&](const uint8_t* from) {
      return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(from + at))));
    };
    const __m256 base = load(degenerate);
    return _mm256_cvttps_epi32(_mm256_add_ps(base, _mm256_mul_ps(by, _mm256_sub_ps(load(levels), base))));
  };
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (; i + 32 <= n; i += 32) {
    const __m256i low = _mm256_packs_epi32(eight(i), eight(i + 8)), high = _mm256_packs_epi32(eight(i + 16), eight(i + 24));
    _mm256_storeu_si256((__m256i*)(out + i), _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order));
  }
#endif
  for (; i < n; i++) {
    const float value = float(degenerate[i]) + factor * (float(levels[i]) - float(degenerate[i]));
    out[i] = uint8_t(int(value > 0 ? value < 255 ? value : 255 : 0));
  }
}

static void color(const uint8_t* from, size_t area, float factor, uint8_t* to) {
  uint8_t luma[kRun];
  for (size_t start = 0; start < area; start += kRun) {
    const int n = int(std::min<size_t>(kRun, area - start));
    const uint8_t* at = from + start;
    grey_levels(at, at + area, at + 2 * area, n, luma);
    for (int c = 0; c < 3; c++) blend(luma, at + c * area, n, factor, to + start + c * area);
  }
}

// Each of `n` pixels blurred: it weighs 5, its 8 neighbours weigh 1 each. `stride`: bytes from row to row; `here`: the first.
static void blur(const uint8_t* __restrict here, int stride, int n, uint8_t* __restrict out) {
  // the weighted sum / 13, rounded, is (2 sum + 13) / 26, and 20165 / 2**19 is near enough to 1 / 26
  const uint8_t *above = here - stride, *below = here + stride;
  int i = 0;
#if defined(ET_AVX2)
  const auto load = [&](const uint8_t* row, int at) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)(row + at))); };
  const auto column = [&](int at) {
    return _mm256_add_epi16(_mm256_add_epi16(load(above, at), load(here, at)), load(below, at));
  };
  const __m256i half = _mm256_set1_epi16(13), part = _mm256_set1_epi16(20165);
  for (; i + 16 <= n; i += 16) {
    const __m256i around = _mm256_add_epi16(_mm256_add_epi16(column(i - 1), column(i)), column(i + 1));
    const __m256i sum = _mm256_add_epi16(around, _mm256_slli_epi16(load(here, i), 2));
    const __m256i blurred = _mm256_srli_epi16(_mm256_mulhi_epu16(_mm256_add_epi16(_mm256_add_epi16(sum, sum), half), part), 3);
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(blurred, blurred), 0xD8);
    _mm_storeu_si128((__m128i*)(out + i), _mm256_castsi256_si128(bytes));
  }
#endif
  for (; i < n; i++) {
    const auto column = [&](int at) { return above[at] + here[at] + below[at]; };
    const uint32_t sum = uint32_t(column(i - 1) + column(i) + column(i + 1) + 4 * here[i]);
    out[i] = uint8_t((2 * sum + 13) * 20165 >> 19);
  }
}

// One plane. The outermost pixels stay as they are, as Pillow's filters leave them.
static void sharpen(const uint8_t* from, int side, float factor, uint8_t* to) {
  uint8_t blurred[kRun];
  std::memcpy(to, from, side);
  for (int y = 1; y < side - 1; y++) {
    const uint8_t* here = from + size_t(y) * side;
    uint8_t* out = to + size_t(y) * side;
    for (int x = 1; x < side - 1; x += kRun) {
      const int n = std::min<int>(kRun, side - 1 - x);
      blur(here + x, side, n, blurred);
      blend(blurred, here + x, n, factor, out + x);
    }
    out[0] = here[0], out[side - 1] = here[side - 1];
  }
  std::memcpy(to + size_t(side - 1) * side, from + size_t(side - 1) * side, side);
}

// The elements of both in turn: of their first halves, of their second halves.
static inline b16 interleave_low(const b16& a, const b16& b) {
  return ET_SHUFFLE_BYTES(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
static inline b16 interleave_high(const b16& a, const b16& b) {
  return ET_SHUFFLE_BYTES(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

// A row's pixels, each beside the next one, from two before the first on: there are two more at each end, equal to the outermost.
static void pair_pixels(const uint8_t* row, int side, uint8_t* pairs) {
  std::memset(pairs, row[0], 4);
  pairs += 4;
  int i = 0;
  for (; i + 17 <= side; i += 16) {
    const b16 a = *(const b16_at*)(row + i), b = *(const b16_at*)(row + i + 1);
    *(b16_at*)(pairs + 2 * i) = interleave_low(a, b), *(b16_at*)(pairs + 2 * i + 16) = interleave_high(a, b);
  }
  for (; i < side - 1; i++) pairs[2 * i] = row[i], pairs[2 * i + 1] = row[i + 1];
  std::memset(pairs + 2 * i, row[side - 1], 6);
}

// Elements of `samples`, Q6, to whole levels.
static void truncate_q6(const int16_t* __restrict samples, int n, uint8_t* __restrict out) {
  for (int i = 0; i < n; i++) out[i] = clamp_u8(samples[i] >> 6);
}

// Row by row of `stride` bytes to column by column; `from` and `to` have multiples of 16 rows and columns.
static void transpose_levels(const uint8_t* from, int stride, int rows, int columns, uint8_t* to, int to_stride) {
  for (int y = 0; y < rows; y += 16)
    for (int x = 0; x < columns; x += 16) {
      b16 a[16], b[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; i++) a[i] = *(const b16_at*)(from + size_t(y + i) * stride + x);
#pragma GCC unroll 4
      for (int step = 0; step < 4; step++) {  // each interleaves the first half of the rows with the second
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
          b[2 * i] = interleave_low(a[i], a[i + 8]), b[2 * i + 1] = interleave_high(a[i], a[i + 8]);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) a[i] = b[i];
      }
#pragma GCC unroll 16
      for (int i = 0; i < 16; i++) *(b16_at*)(to + size_t(x + i) * to_stride + y) = a[i];
    }
}

// Three planes to pixels of four bytes with two more on each side, equal to the outermost ones.
static void frame_pixels(const uint8_t* rgb, int side, uint8_t* to) {
  enum { kEdge = 2 };
  const size_t area = size_t(side) * side, pitch = size_t(side + 2 * kEdge) * 4;
  for (int y = 0; y < side; y++) {
    const uint8_t* __restrict from = rgb + size_t(y) * side;
    uint8_t* __restrict row = to + (y + kEdge) * pitch + 4 * kEdge;
    for (int x = 0; x < side; x++) {
      row[4 * x] = from[x], row[4 * x + 1] = from[area + x], row[4 * x + 2] = from[2 * area + x], row[4 * x + 3] = 0;
    }
    for (int x = 1; x <= kEdge; x++) std::memcpy(row - 4 * x, row, 4), std::memcpy(row + 4 * (side - 1 + x), row + 4 * (side - 1), 4);
  }
  for (int y = 0; y < kEdge; y++) {
    std::memcpy(to + y * pitch, to + kEdge * pitch, pitch);
    std::memcpy(to + (side + kEdge + y) * pitch, to + (side + kEdge - 1) * pitch, pitch);
  }
}

// The pixel of four bytes at a place of what `frame_pixels` made: four rows of four taps, along x first.
static inline uint32_t tap_pixels(const uint8_t* at, size_t pitch, const int16_t* across, const int16_t* down) {
#if defined(ET_AVX2)
  const char kZero = -1;
  const __m256i left = _mm256_broadcastsi128_si256(  // a channel's first and second tap, as 16 bits each
      _mm_setr_epi8(0, kZero, 4, kZero, 1, kZero, 5, kZero, 2, kZero, 6, kZero, 3, kZero, 7, kZero));
  const __m256i right = _mm256_or_si256(left, _mm256_set1_epi16(8));
  const __m256i first = _mm256_set1_epi32(as_one(across)), second = _mm256_set1_epi32(as_one(across + 2));
  const auto row = [&](int i) { return _mm_loadu_si128((const __m128i*)(at + i * pitch)); };
  const auto rows = [&](int i) {  // the sums of rows i and i + 2, Q6
    const __m256i taps = _mm256_inserti128_si256(_mm256_castsi128_si256(row(i)), row(i + 2), 1);
    const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(_mm256_shuffle_epi8(taps, left), first),
                                         _mm256_madd_epi16(_mm256_shuffle_epi8(taps, right), second));
    return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(128)), 8);
  };
  int64_t four;
  std::memcpy(&four, down, sizeof four);
  const __m256i weights = _mm256_permutevar8x32_epi32(_mm256_set1_epi64x(four), _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
  const __m256i pairs = _mm256_blend_epi16(rows(0), _mm256_slli_epi32(rows(1), 16), 0xAA);
  const __m256i sum = _mm256_madd_epi16(pairs, weights);
  const __m128i total = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  const __m128i levels = _mm_srai_epi32(_mm_add_epi32(total, _mm_set1_epi32(1 << 13)), 20);
  const __m128i words = _mm_packs_epi32(levels, levels);
  return uint32_t(_mm_cvtsi128_si32(_mm_packus_epi16(words, words)));
#else
  uint32_t pixel = 0;
  for (int c = 0; c < 3; c++) {
    int total = 1 << 13;
    for (int i = 0; i < 4; i++) {
      int sum = 128;
      for (int k = 0; k < 4; k++) sum += across[k] * at[i * pitch + 4 * k + c];
      total += (sum >> 8) * down[i];
    }
    pixel |= uint32_t(clamp_u8(total >> 20)) << 8 * c;
  }
  return pixel;
#endif
}

// An image moved by an affine map, out of what `frame_pixels` made of it.
static void move_pixels(const uint8_t* framed, int side, const int32_t* map, const int16_t* cubic, const uint8_t* fill, uint8_t* to) {
  const size_t area = size_t(side) * side, pitch = size_t(side + 4) * 4;
  const int middle = side / 2, right_x = map[1], right_y = map[4];
  for (int y = 0; y < side; y++) {
    int at_x = map[0] - middle * right_x + (y - middle) * map[2], at_y = map[3] - middle * right_y + (y - middle) * map[5];
    uint8_t* out = to + size_t(y) * side;
    int x = 0;
    const auto inside = [&] { return x < side && moved_inside(at_x, side) && moved_inside(at_y, side); };
    const auto outside = [&] {
      for (; x < side && !inside(); x++, at_x += right_x, at_y += right_y)
        out[x] = fill[0], out[area + x] = fill[1], out[2 * area + x] = fill[2];
    };
    outside();
    for (; inside(); x++, at_x += right_x, at_y += right_y) {
      const int near_x = at_x + kNearest, near_y = at_y + kNearest;
      // one pixel before the place, and two of the frame
      const uint8_t* corner = framed + ((near_y >> kPlaceBits) + 1) * pitch + size_t((near_x >> kPlaceBits) + 1) * 4;
      const uint32_t pixel = tap_pixels(corner, pitch, cubic + 4 * move_phase(near_x), cubic + 4 * move_phase(near_y));
      out[x] = uint8_t(pixel), out[area + x] = uint8_t(pixel >> 8), out[2 * area + x] = uint8_t(pixel >> 16);
    }
    outside();
  }
}

}  // namespace ET_BUILD
}  // namespace et
