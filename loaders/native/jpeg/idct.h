// Inverse DCTs, bit-exact to libjpeg-turbo's "islow" set (jidctint.c, jidctred.c: the constants and the order of rounding
// are theirs, which is what makes the pixels equal).. Output goes to planes, see Note [paired columns].
#pragma once
#include "simd/loops.h"
#include "simd/vectors.h"

namespace et {
namespace ET_BUILD {

enum { kConst = 13, kPass1 = 2 };

// Note [two passes]: down all columns first, to 16 bits, saturated (which only damaged coefficients need), then along all rows. A
// block lies as the first pass wants it, see Note [paired coefficients]: each of its four vectors is two rows, element by element
// beside each other, which is what the multiply-add of pairs takes; between the passes, pairs of columns are formed alike.
// kLow, without AVX2: the coefficients end before zigzag position 10, so that all lie in the first four rows and columns; the
// others are not read: half of the work. With AVX2 it is a fifth, and less than the branch costs, which is hard to foresee.

// Dequantised rows, their columns in kPairOrder.
static inline void load_rows(const int16_t* block, const int16_t* quant, v8 x[8]) {
  for (int i = 0; i < 4; i++) {  // the two rows of a pair are the halves of 32-bit numbers
    const v8 both = (v8)(*(const h16_at*)(block + 16 * i) * *(const h16_at*)(quant + 16 * i));
    x[kPairOrder[2 * i]] = both << 16 >> 16, x[kPairOrder[2 * i + 1]] = both >> 16;
  }
}

static inline void saturate16(v8& x) {
  const v8 most = v8{} + 32767, least = ~most;
  x = x > most ? most : x < least ? least : x;
}

#if defined(ET_AVX2)
static inline __m256i pair_weights(int a, int b) { return _mm256_set1_epi32(int(uint32_t(b) << 16 | uint16_t(a))); }

static inline __m256i pair_sum(__m256i x, int a, int b) { return _mm256_madd_epi16(x, pair_weights(a, b)); }

// One dimension, its sums multiplied out. x: pairs (0, 4), (2, 6), (1, 3), (5, 7). offset: added to every output.
static inline void idct_pairs(const __m256i x[4], int shift, int offset, __m256i out[8]) {
  const __m256i round = _mm256_set1_epi32((1 << (shift - 1)) + (offset << shift));
  const __m256i t0 = _mm256_add_epi32(pair_sum(x[0], 8192, 8192), round);
  const __m256i t1 = _mm256_add_epi32(pair_sum(x[0], 8192, -8192), round);
  const __m256i t2 = pair_sum(x[1], 4433, -10704), t3 = pair_sum(x[1], 10703, 4433);
  const __m256i a[4] = {_mm256_add_epi32(t0, t3), _mm256_add_epi32(t1, t2), _mm256_sub_epi32(t1, t2), _mm256_sub_epi32(t0, t3)};
  const __m256i b[4] = {_mm256_add_epi32(pair_sum(x[2], 11363, 9633), pair_sum(x[3], 6437, 2260)),
                        _mm256_add_epi32(pair_sum(x[2], 9633, -2259), pair_sum(x[3], -11362, -6436)),
                        _mm256_add_epi32(pair_sum(x[2], 6437, -11362), pair_sum(x[3], 2261, 9633)),
                        _mm256_add_epi32(pair_sum(x[2], 2260, -6436), pair_sum(x[3], 9633, -11363))};
  for (int i = 0; i < 4; i++) {
    out[i] = _mm256_srai_epi32(_mm256_add_epi32(a[i], b[i]), shift);
    out[7 - i] = _mm256_srai_epi32(_mm256_sub_epi32(a[i], b[i]), shift);
  }
}

static inline void idct_columns(const int16_t* block, const int16_t* quant, __m256i out[8]) {
  __m256i x[4], y[4];
  for (int i = 0; i < 4; i++)
    x[i] = _mm256_mullo_epi16(_mm256_loadu_si256((const __m256i*)block + i), _mm256_loadu_si256((const __m256i*)quant + i));
  idct_pairs(x, kConst - kPass1, 0, out);
  for (int i = 0; i < 4; i++)  // rows i and i + 4
    y[i] = _mm256_permute4x64_epi64(_mm256_packs_epi32(out[i], out[i + 4]), 0xD8);
  const __m256i even01 = _mm256_unpacklo_epi32(y[0], y[1]), even23 = _mm256_unpacklo_epi32(y[2], y[3]);
  const __m256i odd01 = _mm256_unpackhi_epi32(y[0], y[1]), odd23 = _mm256_unpackhi_epi32(y[2], y[3]);
  x[0] = _mm256_unpacklo_epi64(even01, even23), x[1] = _mm256_unpackhi_epi64(even01, even23);
  x[2] = _mm256_unpacklo_epi64(odd01, odd23), x[3] = _mm256_unpackhi_epi64(odd01, odd23);
  idct_pairs(x, kConst + kPass1 + 3, 128, out);
}

static void idct8(const int16_t* block, const int16_t* quant, int, uint8_t* out, int stride) {
  __m256i x[8];  // columns of the image
  idct_columns(block, quant, x);
  // packing works within 128-bit lanes, four rows each: pair the columns there, then put the halves together
  const __m256i pair = _mm256_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15,  //
                                        0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
  for (int c = 0; c < 8; c += 4, out += 4 * stride) {
    const __m256i ab = _mm256_packs_epi32(x[c], x[c + 1]), cd = _mm256_packs_epi32(x[c + 2], x[c + 3]);
    const __m256i four = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(_mm256_packus_epi16(ab, cd), pair), 0xD8);
    _mm_storeu_si128((__m128i*)out, _mm256_castsi256_si128(four));
    _mm_storeu_si128((__m128i*)(out + 2 * stride), _mm256_extracti128_si256(four, 1));
  }
}
#else
// One dimension. offset: added to every output.
template <bool kLow>
static inline void idct_pass(v8 x[8], int shift, int offset) {
  const v8 round = v8{} + ((1 << (shift - 1)) + (offset << shift)), none = {};
  const v8 x4 = kLow ? none : x[4], x5 = kLow ? none : x[5], x6 = kLow ? none : x[6], x7 = kLow ? none : x[7];
  // even part
  const v8 e = (x[2] + x6) * 4433;
  const v8 t2 = e - x6 * 15137, t3 = e + x[2] * 6270;
  const v8 t0 = (x[0] + x4) << int(kConst), t1 = (x[0] - x4) << int(kConst);
  const v8 a0 = t0 + t3 + round, a3 = t0 - t3 + round, a1 = t1 + t2 + round, a2 = t1 - t2 + round;
  // odd part
  const v8 z5 = (x7 + x[3] + x5 + x[1]) * 9633;
  const v8 z1 = (x7 + x[1]) * -7373, z2 = (x5 + x[3]) * -20995;
  const v8 z3 = (x7 + x[3]) * -16069 + z5, z4 = (x5 + x[1]) * -3196 + z5;
  const v8 b0 = x7 * 2446 + z1 + z3, b1 = x5 * 16819 + z2 + z4;
  const v8 b2 = x[3] * 25172 + z2 + z3, b3 = x[1] * 12299 + z1 + z4;
  x[0] = (a0 + b3) >> shift, x[7] = (a0 - b3) >> shift;
  x[1] = (a1 + b2) >> shift, x[6] = (a1 - b2) >> shift;
  x[2] = (a2 + b1) >> shift, x[5] = (a2 - b1) >> shift;
  x[3] = (a3 + b0) >> shift, x[4] = (a3 - b0) >> shift;
}

template <bool kLow>
static void idct8_of(const int16_t* block, const int16_t* quant, uint8_t* out, int stride) {
  v8 x[8], y[8];
  load_rows(block, quant, x);
  idct_pass<kLow>(x, kConst - kPass1, 0);
  for (v8& row : x) saturate16(row);
  transpose8(x);
  for (int i = 0; i < 8; i++) y[kPairOrder[i]] = x[i];
  idct_pass<kLow>(y, kConst + kPass1 + 3, 128);
  for (int c = 0; c < 8; c += 2, out += 2 * stride)  // y[c] is column c of the image
    for (int i = 0; i < 8; i++) out[2 * i] = clamp_u8(y[c][i]), out[2 * i + 1] = clamp_u8(y[c + 1][i]);
}

static void idct8(const int16_t* block, const int16_t* quant, int last, uint8_t* out, int stride) {
  if (last < 10) idct8_of<true>(block, quant, out, stride);
  else idct8_of<false>(block, quant, out, stride);
}
#endif

static inline int descale(int v, int shift) { return (v + (1 << (shift - 1))) >> shift; }

static uint8_t idct1(int dc) {  // what no image has wraps around in libjpeg's table
  return clamp_u8(((descale(dc, 3) & 1023) ^ 512) - 512 + 128);
}

// A block without details.
static inline void flat8(int dc, uint8_t* out, int stride) {
  const b16 v = b16{} + clamp_u8(descale(dc, 3) + 128);
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) *(b16_at*)(out + 2 * c * stride) = v;
}

static void flat(int dc, int side, uint8_t* out, int stride) {
  const uint8_t v = clamp_u8(descale(dc, 3) + 128);
  for (int c = 0; c < side; c += 2) std::memset(out + c * stride, v, 2 * side);
}

// 4x4 and 2x2 outputs straight from the 8x8 coefficients, in two passes as above. Coefficients of column and row 4 do not count,
// for 2x2 outputs nor do those of 2 and 6.
enum { kPass4 = kConst - kPass1 + 1, kPass2 = kConst - kPass1 + 2 };  // bits to round off in the first pass

#if defined(ET_AVX2)
static inline __m256i two_weights(int a, int b, int c, int d) {  // a, b in the lower half, c, d in the upper
  return _mm256_set_m128i(_mm256_castsi256_si128(pair_weights(c, d)), _mm256_castsi256_si128(pair_weights(a, b)));
}

static inline __m256i dequantised(const int16_t* block, const int16_t* quant, int pair) {
  return _mm256_mullo_epi16(_mm256_loadu_si256((const __m256i*)block + pair), _mm256_loadu_si256((const __m256i*)quant + pair));
}

// Rows of the image to its pairs of columns; columns: c0r0 c0r1 c0r2 c0r3 c1r0 ..., 32 bits each.
static void idct4(const int16_t* block, const int16_t* quant, uint8_t* out, int stride) {
  const __m256i x04 = dequantised(block, quant, 0), x26 = dequantised(block, quant, 1);
  const __m256i x13 = dequantised(block, quant, 2), x57 = dequantised(block, quant, 3);
  const __m256i round = _mm256_set1_epi32(1 << (kPass4 - 1));
  const __m256i t0 = _mm256_add_epi32(pair_sum(x04, 16384, 0), round), t2 = pair_sum(x26, 15137, -6270);
  const __m256i a = _mm256_add_epi32(t0, t2), b = _mm256_sub_epi32(t0, t2);
  const __m256i near = _mm256_add_epi32(pair_sum(x13, 8697, -17799), pair_sum(x57, 11893, -1730));
  const __m256i far = _mm256_add_epi32(pair_sum(x13, 20995, 7373), pair_sum(x57, -4926, -4176));
  const __m256i r0 = _mm256_srai_epi32(_mm256_add_epi32(a, far), kPass4), r3 = _mm256_srai_epi32(_mm256_sub_epi32(a, far), kPass4);
  const __m256i r1 = _mm256_srai_epi32(_mm256_add_epi32(b, near), kPass4), r2 = _mm256_srai_epi32(_mm256_sub_epi32(b, near), kPass4);
  // lower half: columns (0, 4) and (2, 6) of each row, upper half: (1, 3) and (5, 7)
  const __m256 upper = _mm256_castsi256_ps(_mm256_packs_epi32(r0, r1)), lower = _mm256_castsi256_ps(_mm256_packs_epi32(r2, r3));
  const __m256i first = _mm256_castps_si256(_mm256_shuffle_ps(upper, lower, 0x88));
  const __m256i second = _mm256_castps_si256(_mm256_shuffle_ps(upper, lower, 0xDD));
  // lower half: the even part of four rows, upper half: the odd part
  const __m256i outer = _mm256_add_epi32(_mm256_madd_epi16(first, two_weights(16384, 0, 20995, 7373)),
                                         _mm256_madd_epi16(second, two_weights(15137, -6270, -4926, -4176)));
  const __m256i inner = _mm256_add_epi32(_mm256_madd_epi16(first, two_weights(16384, 0, 8697, -17799)),
                                         _mm256_madd_epi16(second, two_weights(-15137, 6270, 11893, -1730)));
  enum { kShift = kConst + kPass1 + 4 };
  const __m128i add = _mm_set1_epi32((1 << (kShift - 1)) + (128 << kShift));
  const __m128i even03 = _mm_add_epi32(_mm256_castsi256_si128(outer), add), odd03 = _mm256_extracti128_si256(outer, 1);
  const __m128i even12 = _mm_add_epi32(_mm256_castsi256_si128(inner), add), odd12 = _mm256_extracti128_si256(inner, 1);
  const __m128i c0 = _mm_srai_epi32(_mm_add_epi32(even03, odd03), kShift), c3 = _mm_srai_epi32(_mm_sub_epi32(even03, odd03), kShift);
  const __m128i c1 = _mm_srai_epi32(_mm_add_epi32(even12, odd12), kShift), c2 = _mm_srai_epi32(_mm_sub_epi32(even12, odd12), kShift);
  const __m128i all = _mm_packus_epi16(_mm_packs_epi32(c0, c1), _mm_packs_epi32(c2, c3));
  const __m128i pairs = _mm_shuffle_epi8(all, _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15));
  _mm_storel_epi64((__m128i*)out, pairs);
  _mm_storel_epi64((__m128i*)(out + 2 * stride), _mm_unpackhi_epi64(pairs, pairs));
}
#else
static void idct4(const int16_t* block, const int16_t* quant, uint8_t* out, int stride) {
  v8 x[8], y[8];
  load_rows(block, quant, x);
  const auto pass = [](const v8 in[8], int shift, int offset, v8 to[8]) {
    const v8 t0 = (in[0] << int(kConst + 1)) + ((1 << (shift - 1)) + (offset << shift)), t2 = in[2] * 15137 - in[6] * 6270;
    const v8 near = in[1] * 8697 - in[3] * 17799 + in[5] * 11893 - in[7] * 1730;
    const v8 far = in[1] * 20995 + in[3] * 7373 - in[5] * 4926 - in[7] * 4176;
    to[0] = (t0 + t2 + far) >> shift, to[3] = (t0 + t2 - far) >> shift;
    to[1] = (t0 - t2 + near) >> shift, to[2] = (t0 - t2 - near) >> shift;
  };
  pass(x, kPass4, 0, y);
  for (int i = 0; i < 4; i++) saturate16(y[i]);
  for (int i = 4; i < 8; i++) y[i] = v8{};
  transpose8(y);
  for (int i = 0; i < 8; i++) x[kPairOrder[i]] = y[i];
  pass(x, kConst + kPass1 + 4, 128, y);  // y[c] is column c of the image
  for (int c = 0; c < 4; c++)
    for (int r = 0; r < 4; r++) out[(c >> 1) * 2 * stride + 2 * r + (c & 1)] = clamp_u8(y[c][r]);
}
#endif

static void idct2(const int16_t* block, const int16_t* quant, uint8_t* out) {
  v8 x[8], y[2];
  load_rows(block, quant, x);
  const v8 odd = x[1] * 29692 - x[3] * 10426 + x[5] * 6967 - x[7] * 5906, even = (x[0] << int(kConst + 2)) + (1 << (kPass2 - 1));
  y[0] = (even + odd) >> int(kPass2), y[1] = (even - odd) >> int(kPass2);
  for (v8& row : y) saturate16(row);
  enum { kShift = kConst + kPass1 + 5 };
  for (int r = 0; r < 2; r++) {  // columns come in kPairOrder
    const int a = y[r][0] * (1 << (kConst + 2)) + (1 << (kShift - 1)) + (128 << kShift);
    const int b = y[r][4] * 29692 - y[r][5] * 10426 + y[r][6] * 6967 - y[r][7] * 5906;
    out[2 * r] = clamp_u8((a + b) >> kShift), out[2 * r + 1] = clamp_u8((a - b) >> kShift);
  }
}

// A block of the MCU at (mx, my), whose last coefficient that is not 0 stands at zigzag position `last`.
static inline void place_block(const ScanPlan& plan, const BlockPlan& block, int mx, int my, const int16_t* coefficients,
                               int last) {
  const int side = block.side, stride = int(block.stride);
  uint8_t* const out = block.at(mx, my);
  if (side == 8 && last > 0) return idct8(coefficients, block.quant, last, out, stride);
  const int dc = coefficients[0] * block.quant[0];
  if (side == 8) return flat8(int16_t(dc), out, stride);
  if (side > 1 && !last) return flat(int16_t(dc), side, out, stride);
  if (side == 4) return idct4(coefficients, block.quant, out, stride);
  if (side == 2) return idct2(coefficients, block.quant, out);
  const int c = block.component;
  *plan.planes->plane[c].at(mx * plan.per_mcu_x[c] + block.x, my * plan.per_mcu_y[c] + block.y) = idct1(dc);
}

static inline void clear(int16_t* coefficients) {  // in pieces: one call would become `rep stos`
#pragma GCC unroll 4
  for (int i = 0; i < 64; i += 16) *(h16_at*)(coefficients + i) = h16{};
}

}  // namespace ET_BUILD
}  // namespace et
