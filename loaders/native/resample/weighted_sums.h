// The resampler's inner loops: weighted sums of columns, transposition, colour.
#pragma once
#include <algorithm>

#include "simd/loops.h"
#include "simd/vectors.h"

namespace et {
namespace ET_BUILD {

// Sixteen sums of products; `narrow` rounds them to int16, saturated.
#if defined(ET_VNNI)
struct Sums {
  __m512i sum;
  typedef __m512i Pair;

  static Pair pair(const int16_t* weights) { return _mm512_set1_epi32(as_one(weights)); }
  void start(int value) { sum = _mm512_set1_epi32(value); }
  void add(__m512i samples, Pair w) { sum = _mm512_dpwssd_epi32(sum, samples, w); }
  void add(const uint8_t* s, Pair w) { add(_mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i*)s)), w); }
  void add(const int16_t* s, Pair w) { add(_mm512_loadu_si512(s), w); }
  void narrow(int shift, int16_t* out) const {  // masks of ones: without one, g++ warns of its own header
    _mm256_storeu_si256((__m256i*)out, _mm512_maskz_cvtsepi32_epi16(0xFFFF, _mm512_maskz_srai_epi32(0xFFFF, sum, shift)));
  }
};
enum { kLongest = 64 };
#elif defined(ET_AVX2)
struct Sums {
  __m256i low, high;
  typedef __m256i Pair;

  static Pair pair(const int16_t* weights) { return _mm256_set1_epi32(as_one(weights)); }
  void start(int value) { low = high = _mm256_set1_epi32(value); }
  void add(__m256i a, __m256i b, Pair w) {
    low = _mm256_add_epi32(low, _mm256_madd_epi16(a, w)), high = _mm256_add_epi32(high, _mm256_madd_epi16(b, w));
  }
  void add(const uint8_t* s, Pair w) {
    const __m128i* at = (const __m128i*)s;
    add(_mm256_cvtepu8_epi16(_mm_loadu_si128(at)), _mm256_cvtepu8_epi16(_mm_loadu_si128(at + 1)), w);
  }
  void add(const int16_t* s, Pair w) {
    const __m256i* at = (const __m256i*)s;
    add(_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1), w);
  }
  void narrow(int shift, int16_t* out) const {
    const __m256i both = _mm256_packs_epi32(_mm256_srai_epi32(low, shift), _mm256_srai_epi32(high, shift));
    _mm256_storeu_si256((__m256i*)out, _mm256_permute4x64_epi64(both, 0xD8));
  }
};
enum { kLongest = 64 };
#else
struct Sums {
  int32_t sum[16];
  typedef const int16_t* Pair;

  static Pair pair(const int16_t* weights) { return weights; }
  void start(int value) { std::fill(sum, sum + 16, value); }
  template <class Sample>
  void add(const Sample* s, Pair w) {
    for (int j = 0; j < 16; j++) sum[j] += w[0] * s[2 * j] + w[1] * s[2 * j + 1];
  }
  void narrow(int shift, int16_t* out) const {
    for (int j = 0; j < 16; j++) out[j] = saturate(sum[j] >> shift);
  }
};
enum { kLongest = 32 };
#endif

// `kBlock` elements from `source` on, one after the other in registers: many where there are as many, so that the loop over the
// taps is entered less often.
template <int kBlock, int kShift, class Sample>
static inline void weigh_block(const Sample* s, int stride, const int16_t* weights, int taps, int16_t* out) {
  Sums sums[kBlock / 16];
  for (Sums& each : sums) each.start(1 << (kShift - 1));
  for (int t = 0; t < taps; t += 2, s += stride) {
    const Sums::Pair pair = Sums::pair(weights + t);
    for (int b = 0; b < kBlock / 16; b++) sums[b].add(s + 32 * b, pair);
  }
  for (int b = 0; b < kBlock / 16; b++) sums[b].narrow(kShift, out + 16 * b);
}

// Reads up to 15 pairs past n and writes up to 15 elements past it.
template <int kShift, class Sample>
static void weigh(const Sample* source, int stride, const int16_t* weights, int taps, int n, int16_t* out) {
  int i = 0;
  for (; i + kLongest - 16 < n; i += kLongest) weigh_block<kLongest, kShift>(source + 2 * i, stride, weights, taps, out + i);
  for (; i + 16 < n; i += 32) weigh_block<32, kShift>(source + 2 * i, stride, weights, taps, out + i);
  if (i < n) weigh_block<16, kShift>(source + 2 * i, stride, weights, taps, out + i);
}

// Two rows beside each other are one 32-bit unit of a column, and stay together.
static void transpose(const int16_t* in, int in_stride, int rows, int16_t* out, int out_stride) {
  for (int y = 0; y < rows; y += 16) {
    v8 a[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) a[i] = *(const v8_at*)(in + i * in_stride + y);
    transpose8(a);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) *(v8_at*)(out + (y / 2 + i) * out_stride) = a[i];
  }
}

// JFIF's full-range BT.601: coefficients in Q14, samples in Q6, one rounding at the end.
enum { kRed = 22970, kGreenB = -5638, kGreenR = -11700, kBlue = 29032, kMiddle = 128 * 64, kHalf = 1 << 19 };

// Whole vectors of pixels: `kPixels` values of (a * first weight + b * second weight + add) >> 20, as int16 in order. Unpacking
// and packing work within 128-bit lanes, and undo each other.
#if defined(ET_VNNI)
enum { kPixels = 32 };
typedef __m512i Pixels;
static inline Pixels every(int32_t v) { return _mm512_set1_epi32(v); }
static inline Pixels samples(const int16_t* s) { return _mm512_loadu_si512(s); }
static inline Pixels low(Pixels a, Pixels b) { return _mm512_unpacklo_epi16(a, b); }
static inline Pixels high(Pixels a, Pixels b) { return _mm512_unpackhi_epi16(a, b); }
static inline Pixels dot(Pixels add, Pixels a, Pixels w) { return _mm512_dpwssd_epi32(add, a, w); }
static inline void store_u8(uint8_t* out, Pixels lo, Pixels hi) {
  const Pixels both = _mm512_packs_epi32(_mm512_maskz_srai_epi32(0xFFFF, lo, 20), _mm512_maskz_srai_epi32(0xFFFF, hi, 20));
  _mm256_storeu_si256((__m256i*)out, _mm512_maskz_cvtusepi16_epi8(~0u, _mm512_max_epi16(both, _mm512_setzero_si512())));
}
#elif defined(ET_AVX2)
enum { kPixels = 16 };
typedef __m256i Pixels;
static inline Pixels every(int32_t v) { return _mm256_set1_epi32(v); }
static inline Pixels samples(const int16_t* s) { return _mm256_loadu_si256((const __m256i*)s); }
static inline Pixels low(Pixels a, Pixels b) { return _mm256_unpacklo_epi16(a, b); }
static inline Pixels high(Pixels a, Pixels b) { return _mm256_unpackhi_epi16(a, b); }
static inline Pixels dot(Pixels add, Pixels a, Pixels w) { return _mm256_add_epi32(add, _mm256_madd_epi16(a, w)); }
static inline void store_u8(uint8_t* out, Pixels lo, Pixels hi) {
  const Pixels both = _mm256_packs_epi32(_mm256_srai_epi32(lo, 20), _mm256_srai_epi32(hi, 20));
  const Pixels bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(both, both), 0xD8);
  _mm_storeu_si128((__m128i*)out, _mm256_castsi256_si128(bytes));
}
#endif

static void ycc_to_rgb(const int16_t* __restrict y, const int16_t* __restrict cb, const int16_t* __restrict cr, int n,
                       uint8_t* __restrict r, uint8_t* __restrict g, uint8_t* __restrict b) {
  int i = 0;
#if defined(ET_AVX2)
  const auto pair = [&](int first, int second) { return every(int32_t(uint32_t(second) << 16 | uint16_t(first))); };
  const Pixels red = pair(16384, kRed), green = pair(16384, kGreenB), rest = pair(kGreenR, 0), blue = pair(16384, kBlue);
  const Pixels red_add = every(kHalf - kMiddle * kRed), blue_add = every(kHalf - kMiddle * kBlue);
  const Pixels green_add = every(kHalf - kMiddle * (kGreenB + kGreenR)), none = every(0);
  for (; i + kPixels <= n; i += kPixels) {
    const Pixels luma = samples(y + i), u = samples(cb + i), v = samples(cr + i);
    store_u8(r + i, dot(red_add, low(luma, v), red), dot(red_add, high(luma, v), red));
    store_u8(b + i, dot(blue_add, low(luma, u), blue), dot(blue_add, high(luma, u), blue));
    store_u8(g + i, dot(dot(green_add, low(v, none), rest), low(luma, u), green),
             dot(dot(green_add, high(v, none), rest), high(luma, u), green));
  }
#endif
  for (; i < n; i++) {
    const int luma = y[i] * 16384 + kHalf, u = cb[i] - kMiddle, v = cr[i] - kMiddle;
    r[i] = clamp_u8((luma + kRed * v) >> 20);
    g[i] = clamp_u8((luma + kGreenB * u + kGreenR * v) >> 20);
    b[i] = clamp_u8((luma + kBlue * u) >> 20);
  }
}

static void to_u8(const int16_t* __restrict in, int n, uint8_t* __restrict out) {
  for (int i = 0; i < n; i++) out[i] = clamp_u8((in[i] + 32) >> 6);
}

}  // namespace ET_BUILD
}  // namespace et
