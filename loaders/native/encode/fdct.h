// The forward DCT, bit-exact to libjpeg-turbo's "islow" (jfdctint.c, whose constants and order of rounding these are), and
// its quantiser..
#pragma once
#include <algorithm>
#include <cmath>

#include "jpeg/idct.h"

namespace et {
namespace ET_BUILD {

// In place over x[0..7]. `down`: what all but the first and the fifth output are shifted right by, rounded.
static inline void fdct_pass(v8 x[8], int down) {
  const v8 t0 = x[0] + x[7], t7 = x[0] - x[7], t1 = x[1] + x[6], t6 = x[1] - x[6];
  const v8 t2 = x[2] + x[5], t5 = x[2] - x[5], t3 = x[3] + x[4], t4 = x[3] - x[4];
  const v8 round = v8{} + (1 << (down - 1));
  // even part
  const v8 e0 = t0 + t3, e3 = t0 - t3, e1 = t1 + t2, e2 = t1 - t2;
  const v8 z = (e2 + e3) * 4433 + round;
  x[0] = e0 + e1, x[4] = e0 - e1;
  x[2] = (z + e3 * 6270) >> down, x[6] = (z - e2 * 15137) >> down;
  // odd part
  const v8 z5 = (t4 + t6 + t5 + t7) * 9633 + round;
  const v8 z1 = (t4 + t7) * -7373, z2 = (t5 + t6) * -20995;
  const v8 z3 = (t4 + t6) * -16069 + z5, z4 = (t5 + t7) * -3196 + z5;
  x[7] = (t4 * 2446 + z1 + z3) >> down, x[5] = (t5 * 16819 + z2 + z4) >> down;
  x[3] = (t6 * 25172 + z2 + z3) >> down, x[1] = (t7 * 12299 + z1 + z4) >> down;
}

// Which of 64 numbers are not 0, the first one's bit lowest.
static inline uint64_t filled(const int16_t* level) {
  uint64_t bits = 0;
#if defined(ET_AVX2)
  for (int i = 0; i < 64; i += 32) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i a = _mm256_cmpeq_epi16(_mm256_loadu_si256((const __m256i*)(level + i)), zero);
    const __m256i b = _mm256_cmpeq_epi16(_mm256_loadu_si256((const __m256i*)(level + i + 16)), zero);
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xD8);  // packing works within 128-bit lanes
    bits |= uint64_t(~uint32_t(_mm256_movemask_epi8(both))) << i;
  }
#else
  for (int k = 0; k < 64; k++) bits |= uint64_t(level[k] != 0) << k;
#endif
  return bits;
}

static void forward8(const uint8_t* pixels, int stride, const float* steps, Coefficients& out) {
  v8 x[8];
  for (int r = 0; r < 8; r++) {
#if defined(ET_AVX2)
    x[r] = (v8)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(pixels + r * stride))) - 128;
#else
    for (int c = 0; c < 8; c++) x[r][c] = pixels[r * stride + c] - 128;
#endif
  }
  transpose8(x);
  fdct_pass(x, kConst - kPass1);
  x[0] <<= int(kPass1), x[4] <<= int(kPass1);
  transpose8(x);
  fdct_pass(x, kConst + kPass1);
  const v8 round = v8{} + (1 << (kPass1 - 1));
  x[0] = (x[0] + round) >> int(kPass1), x[4] = (x[4] + round) >> int(kPass1);
  int16_t natural[64];
  for (int r = 0; r < 8; r++) {  // to the nearest multiple, halves away from zero; all fits a float exactly
    const f8 step = *(const f8_at*)(steps + 8 * r);
    const v8 sign = x[r] >> 31;
    const f8 size = __builtin_convertvector((x[r] ^ sign) - sign, f8);
    const v8 level = __builtin_convertvector((size + step * .5f) / step, v8);
    *(h8_at*)(natural + 8 * r) = __builtin_convertvector((level ^ sign) - sign, h8);
  }
  for (int k = 0; k < 64; k++) out.level[k] = natural[kZigzag[k]];
  out.filled = filled(out.level);
}

}  // namespace ET_BUILD
}  // namespace et
