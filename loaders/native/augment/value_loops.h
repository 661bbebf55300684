// From levels to the values of a batch: each channel's levels, looked up in the channel's table.
#pragma once
#include <algorithm>

#include "augment/augment_loops.h"

namespace et {
namespace ET_BUILD {

#if defined(ET_VNNI)
// A table of 256 elements of 16 bits in registers, or one half of each element of 32 bits.
struct WordTable {
  __m512i part[8];

  // The elements' lower (shift 0) or upper (shift 16) halves.
  void load(const uint32_t* table, int shift) {
    for (int k = 0; k < 8; k++) {
      const auto half = [&](int at) {  // masks of ones as in weighted_sums.h
        const __m512i sixteen = _mm512_loadu_si512(table + 32 * k + at);
        return _mm512_maskz_cvtepi32_epi16(0xFFFF, _mm512_maskz_srl_epi32(0xFFFF, sixteen, _mm_cvtsi32_si128(shift)));
      };
      part[k] = _mm512_maskz_inserti64x4(0xFF, _mm512_castsi256_si512(half(0)), half(16), 1);
    }
  }
  void load(const uint16_t* table) {
    for (int k = 0; k < 8; k++) part[k] = _mm512_loadu_si512(table + 32 * k);
  }
  // A permutation looks at the lower six bits; the upper two choose between four of them.
  __m512i at(__m512i levels, __mmask32 by64, __mmask32 by128) const {
    const auto among = [&](int k) { return _mm512_permutex2var_epi16(part[2 * k], levels, part[2 * k + 1]); };
    return _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(among(0), by64, among(1)), by128,
                                 _mm512_mask_mov_epi16(among(2), by64, among(3)));
  }
};

static inline __mmask32 has_bit(__m512i levels, int bit) { return _mm512_test_epi16_mask(levels, _mm512_set1_epi16(short(bit))); }
#endif

// out[i] = table[levels[i]]. The table has 256 elements.
static void look_up_values(const uint8_t* levels, size_t n, const uint8_t* table, uint8_t* out) { map_levels(levels, n, table, out); }

static void look_up_values(const uint8_t* levels, size_t n, const uint16_t* table, uint16_t* out) {
  size_t i = 0;
#if defined(ET_VNNI)
  WordTable words;
  words.load(table);
  for (; i + 32 <= n; i += 32) {
    const __m512i at = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i*)(levels + i)));
    _mm512_storeu_si512(out + i, words.at(at, has_bit(at, 64), has_bit(at, 128)));
  }
#endif
#pragma GCC unroll 8
  for (; i < n; i++) out[i] = table[levels[i]];
}

static void look_up_values(const uint8_t* levels, size_t n, const uint32_t* table, uint32_t* out) {
  size_t i = 0;
#if defined(ET_VNNI)
  WordTable lower, upper;
  lower.load(table, 0), upper.load(table, 16);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // what unpacking, which works within 128 bits, undoes
  for (; i + 32 <= n; i += 32) {
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_loadu_si256((const __m256i*)(levels + i)), order);
    const __m512i at = _mm512_cvtepu8_epi16(bytes);
    const __mmask32 by64 = has_bit(at, 64), by128 = has_bit(at, 128);
    const __m512i low = lower.at(at, by64, by128), high = upper.at(at, by64, by128);
    _mm512_storeu_si512(out + i, _mm512_unpacklo_epi16(low, high));
    _mm512_storeu_si512(out + i + 16, _mm512_unpackhi_epi16(low, high));
  }
#endif
#pragma GCC unroll 8
  for (; i < n; i++) out[i] = table[levels[i]];
}

// Three planes of `area` levels to values, by three tables that lie one after the other; channels last: the three values of a
// pixel side by side.
template <class T>
static void level_values(const uint8_t* planes, size_t area, const T* tables, bool channels_last, T* out) {
  if (!channels_last) {
    for (int c = 0; c < 3; c++) look_up_values(planes + c * area, area, tables + 256 * c, out + c * area);
    return;
  }
  T values[3][kRun];
  for (size_t start = 0; start < area; start += kRun) {
    const size_t n = std::min<size_t>(kRun, area - start);
    for (int c = 0; c < 3; c++) look_up_values(planes + c * area + start, n, tables + 256 * c, values[c]);
    T* to = out + 3 * start;
    for (size_t i = 0; i < n; i++)
      for (int c = 0; c < 3; c++) to[3 * i + c] = values[c][i];
  }
}

}  // namespace ET_BUILD
}  // namespace et
