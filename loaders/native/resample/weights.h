// The resampler's weights: from a filter's table to whole numbers for each output of an axis.
#pragma once
#include <algorithm>
#include <cmath>

#include "simd/loops.h"
#include "simd/vectors.h"

namespace et {
namespace ET_BUILD {

typedef int64_t int64_at __attribute__((aligned(4), may_alias));

// low[j] = table[index[j]], high[j] = table[index[j] + 1].
static inline void look_up_pairs(const float* table, const v8& index, f8& low, f8& high) {
#if defined(ET_AVX2)
  const __m128i left = _mm256_castsi256_si128((__m256i)index), right = _mm256_extracti128_si256((__m256i)index, 1);
  const uint64_t at[4] = {uint64_t(_mm_cvtsi128_si64(left)), uint64_t(_mm_extract_epi64(left, 1)),  // two places each
                          uint64_t(_mm_cvtsi128_si64(right)), uint64_t(_mm_extract_epi64(right, 1))};
  const auto load = [&](size_t i) { return _mm256_castsi256_pd(_mm256_set1_epi64x(*(const int64_at*)(table + i))); };
  const auto load_four = [&](uint64_t a, uint64_t b) {  // not gathered: that takes longer
    const __m256d first = _mm256_blend_pd(load(uint32_t(a)), load(a >> 32), 2);
    return _mm256_castpd_ps(_mm256_blend_pd(first, _mm256_blend_pd(load(uint32_t(b)), load(b >> 32), 8), 12));
  };
  const __m256 a = load_four(at[0], at[2]), b = load_four(at[1], at[3]);
  low = (f8)_mm256_shuffle_ps(a, b, 0x88), high = (f8)_mm256_shuffle_ps(a, b, 0xDD);
#else
  for (int j = 0; j < 8; j++) low[j] = table[index[j]], high[j] = table[index[j] + 1];
#endif
}

// The sum of eight numbers, added up in the same order on every machine.
template <class Vector>
static inline auto total(const Vector& of) {
  Vector v = of;
  v += ET_SHUFFLE(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
  v += ET_SHUFFLE(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
  return v[0] + v[2];
}

// out[t] = the filter at distance |x + t|, for t < n, and 0 up to the next multiple of 8; returns their sum.
static inline float look_up(const AxisPlan& plan, float x, int n, float* out) {
  const v8 sign = v8{} + INT32_MIN, last = v8{} + (plan.columns - 2), end = v8{} + n;
  v8 tap = {0, 1, 2, 3, 4, 5, 6, 7};
  f8 sum = {};
  for (int t = 0; t < n; t += 8, tap += 8) {
    const f8 place = (f8)((v8)(x + __builtin_convertvector(tap, f8)) & ~sign) * plan.steps;
    v8 index = __builtin_convertvector(place, v8);
    const f8 part = place - __builtin_convertvector(index, f8);
    index = index < last ? index : last;
    f8 low, high;
    look_up_pairs(plan.table, index, low, high);
    const f8 value = (f8)((v8)(low + (high - low) * part) & (tap < end));
    *(f8_at*)(out + t) = value;
    sum += value;
  }
  return total(sum);
}

// out[t] = round(w[t] * scale), and what rounding leaves of kOne to the middle one. Reads and writes up to a multiple of 8.
static inline void quantise(const float* __restrict w, int n, float scale, int16_t* __restrict out) {
  const float shifter = 12582912.f;  // 1.5 * 2^23: adding it rounds to a whole number, found in the sum's low bits
  v8 sum = {};
  for (int t = 0; t < n; t += 8) {
    const v8 value = (v8)(*(const f8_at*)(w + t) * scale + shifter) - 0x4B400000;
    *(h8_at*)(out + t) = __builtin_convertvector(value, h8);
    sum += value;
  }
  out[n / 2] = int16_t(out[n / 2] + kOne - total(sum));
}

// Note [chroma's taps]: libjpeg doubles a sub-sampled component by a triangle filter (weights 3/4 and 1/4) before anything
// else sees it. Both steps are linear, so the triangle is folded into the taps and the plane is resampled as stored.
static inline int fold(const float* w, int first, int n, int samples, float* folded, int& folded_first) {
  const auto clamp = [&](int k) { return std::min(std::max(k, 0), samples - 1); };
  folded_first = clamp((first >> 1) - 1);
  const int count = clamp(((first + n - 1) >> 1) + 1) - folded_first + 1;
  std::fill(folded, folded + count + 7, 0.f);
  for (int t = 0; t < n; t++) {
    const int k = (first + t) >> 1;
    folded[clamp(k) - folded_first] += .75f * w[t];
    folded[clamp((first + t) & 1 ? k + 1 : k - 1) - folded_first] += .25f * w[t];
  }
  return count;
}

// The inner loops take samples in pairs that begin at even places: a tap of weight 0 is put before or behind where needed.
static inline void put(Axis& axis, int i, int first, const float* w, int n, float scale) {
  int16_t* out = axis.weights + size_t(i) * axis.room;
  const int before = first & 1;
  out[0] = 0;
  quantise(w, n, scale, out + before);
  first -= before, n += before;
  axis.low = std::min(axis.low, first), axis.high = std::max(axis.high, first + n);
  out[n] = 0, n += n & 1;
  axis.first[i] = first, axis.taps[i] = n;
}

static void weights(const AxisPlan& plan, Axis& axis, Axis* halved) {
  float *const w = plan.memory, *const folded = w + plan.most + 24;
  for (int i = 0; i < plan.outputs; i++) {
    const float centre = plan.start + (i + .5f) * plan.pitch;
    const int a = std::min(plan.high, std::max(plan.low, int(std::ceil(centre - plan.radius - .5f))));
    const int b = std::max(a, std::min(plan.high, int(std::floor(centre + plan.radius - .5f))));
    const int n = std::min(b - a + 1, plan.most);
    float sum = look_up(plan, a + .5f - centre, n, w);
    if (sum < .01f) {  // no sample near enough; cannot happen with a filter at least one sample wide
      std::fill(w, w + n, 1.f);
      sum = float(n);
    }
    put(axis, i, a, w, n, kOne / sum);
    if (halved) {
      int first = 0;
      const int count = fold(w, a, n, plan.halved, folded, first);
      put(*halved, i, first, folded, count, kOne / sum);
    }
  }
}

}  // namespace ET_BUILD
}  // namespace et
