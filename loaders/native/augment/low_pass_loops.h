// The low-pass's inner loops: sums of weighted rows, 8-bit as Pillow has them, and products of matrices.
#pragma once
#include "simd/loops.h"
#include "simd/vectors.h"

namespace et {
namespace ET_BUILD {

// out[x] = the sum over t of weights[t] * rows[t * stride + x], Q22 weights, rounded to 8 bits.
static void weigh_rows(const uint8_t* rows, size_t stride, const int32_t* weights, int taps, int n, uint8_t* out) {
  enum { kBits = 22, kAtOnce = 32 };
  const int half = 1 << (kBits - 1);
  int x = 0;
  for (; x + kAtOnce <= n; x += kAtOnce) {
#if defined(ET_AVX2)
    __m256i sums[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) sums[k] = _mm256_set1_epi32(half);
    for (int t = 0; t < taps; t++) {
      const uint8_t* row = rows + t * stride + x;
      const __m256i weight = _mm256_set1_epi32(weights[t]);
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++) {
        const __m256i levels = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(row + 8 * k)));
        sums[k] = _mm256_add_epi32(sums[k], _mm256_mullo_epi32(levels, weight));
      }
    }
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) sums[k] = _mm256_srai_epi32(sums[k], kBits);
    const __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(sums[0], sums[1]), _mm256_packs_epi32(sums[2], sums[3]));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256((__m256i*)(out + x), _mm256_permutevar8x32_epi32(bytes, order));
#else
    int sums[kAtOnce];
    for (int& sum : sums) sum = half;
    for (int t = 0; t < taps; t++)
      for (int k = 0; k < kAtOnce; k++) sums[k] += weights[t] * rows[t * stride + x + k];
    for (int k = 0; k < kAtOnce; k++) out[x + k] = clamp_u8(sums[k] >> kBits);
#endif
  }
  for (; x < n; x++) {
    int sum = half;
    for (int t = 0; t < taps; t++) sum += weights[t] * rows[t * stride + x];
    out[x] = clamp_u8(sum >> kBits);
  }
}

// sum[x] = a[x] + b[x] and difference[x] = a[x] - b[x].
static void fold_levels(const uint8_t* a, const uint8_t* b, int n, float* sum, float* difference) {
  for (int x = 0; x < n; x++) {
    sum[x] = float(a[x] + b[x]);
    difference[x] = float(a[x] - b[x]);
  }
}

// sum[n] = line[n] + line[side - n], difference[n - 1] = line[n] - line[side - n]; what has no opposite is a sum of its own.
static void fold_line(const float* line, int side, float* sum, float* difference) {
  const float* const opposite = line + side;
  const int pairs = (side - 1) / 2;
  sum[0] = line[0];
  for (int n = 1; n <= pairs; n++) sum[n] = line[n] + opposite[-n];
  for (int n = 1; n <= pairs; n++) difference[n - 1] = line[n] - opposite[-n];
  if (side % 2 == 0) sum[side / 2] = line[side / 2];
}

// The reverse: line[n] = even[n] + odd[n - 1] and line[side - n] = even[n] - odd[n - 1].
static void unfold_line(const float* even, const float* odd, int side, float* line) {
  float* const opposite = line + side;
  const int pairs = (side - 1) / 2;
  line[0] = even[0];
  for (int n = 1; n <= pairs; n++) line[n] = even[n] + odd[n - 1];
  for (int n = 1; n <= pairs; n++) opposite[-n] = even[n] - odd[n - 1];
  if (side % 2 == 0) line[side / 2] = even[side / 2];
}

// out[x] = values[x] + more[x], rounded to 8 bits, half to even.
static void round_levels(const float* values, const float* more, int n, uint8_t* out) {
  const float whole = 12582912;  // 1.5 * 2**23: floats of this size have no fraction, so that the sum is rounded
  for (int x = 0; x < n; x++) {
    const float value = values[x] + more[x];
    out[x] = uint8_t(int((value < 0 ? 0 : value > 255 ? 255 : value) + whole - whole));
  }
}

// Vectors, aligned and anywhere in memory. As a template's argument a type would lose its alignment.
struct Eight {
  typedef f8 Vector;
  typedef f8_at At;
  enum { kFloats = 8 };
};
#ifdef ET_VNNI
struct Widest {
  typedef float Vector __attribute__((vector_size(64)));
  typedef Vector At __attribute__((aligned(4), may_alias));
  enum { kFloats = 16 };
};
#else
typedef Eight Widest;
#endif

// `kVectors` vectors of columns of four rows of the product.
template <class Width, int kVectors>
static inline void multiply_block(const float* a, size_t a_stride, int depth, const float* b, int columns, float* out) {
  typename Width::Vector sums[4][kVectors] = {};
  for (int t = 0; t < depth; t++, b += columns) {
    typename Width::Vector row[kVectors];
#pragma GCC unroll 3
    for (int k = 0; k < kVectors; k++) row[k] = *(const typename Width::At*)(b + Width::kFloats * k);
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++)
#pragma GCC unroll 3
      for (int k = 0; k < kVectors; k++) sums[r][k] += row[k] * a[r * a_stride + t];
  }
  for (int r = 0; r < 4; r++)
    for (int k = 0; k < kVectors; k++)
      *(typename Width::At*)(out + size_t(r) * columns + Width::kFloats * k) = sums[r][k];
}

// out = a b: a of `rows` x `depth`, `rows` a multiple of 4; b of `depth` x `columns`, a multiple of 8; out of `rows` x `columns`.
// Every build adds up in the same order.
static void multiply(const float* a, size_t a_stride, int rows, int depth, const float* b, int columns, float* out) {
  enum { kWide = Widest::kFloats };
  for (int r = 0; r < rows; r += 4, a += 4 * a_stride, out += 4 * size_t(columns)) {
    int x = 0;
    for (; x + 3 * kWide <= columns; x += 3 * kWide) multiply_block<Widest, 3>(a, a_stride, depth, b + x, columns, out + x);
    for (; x + kWide <= columns; x += kWide) multiply_block<Widest, 1>(a, a_stride, depth, b + x, columns, out + x);
    for (; x < columns; x += 8) multiply_block<Eight, 1>(a, a_stride, depth, b + x, columns, out + x);
  }
}

}  // namespace ET_BUILD
}  // namespace et
