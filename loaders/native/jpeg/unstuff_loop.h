// Entropy-coded bytes up to the next marker, without stuffing.
#pragma once
#include "jpeg/markers.h"
#include "simd/vectors.h"

namespace et {
namespace ET_BUILD {

// As `next_marker`; the bytes passed go to `out`, which advances. Up to 63 more are written.
static Marker copy_to_marker(const uint8_t* at, const uint8_t* end, uint8_t*& out) {
#if defined(ET_AVX2)
  // Restart segments have some 75 bytes: calls of memchr and memcpy take longer than their work.
#if defined(ET_VNNI)
  enum { kStep = 64 };
  const auto copy = [](const uint8_t* from, uint8_t* to) {  // and a bit for each ff
    const __m512i bytes = _mm512_loadu_si512(from);
    _mm512_storeu_si512(to, bytes);
    return uint64_t(_mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(-1)));
  };
#else
  enum { kStep = 32 };
  const auto copy = [](const uint8_t* from, uint8_t* to) {
    const __m256i bytes = _mm256_loadu_si256((const __m256i*)from);
    _mm256_storeu_si256((__m256i*)to, bytes);
    return uint64_t(uint32_t(_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(-1)))));
  };
#endif
  while (end - at > kStep) {
    const uint64_t found = copy(at, out);
    if (!found) {
      at += kStep, out += kStep;
      continue;
    }
    const int run = __builtin_ctzll(found), code = at[run + 1];
    if (code == 0xFF) break;  // fill bytes: rare
    at += run, out += run;
    if (code) return {at, at + 2, code};
    at += 2, out++;
  }
#endif
  return next_marker(at, end, [&out](const uint8_t* from, size_t size) {
    std::memcpy(out, from, size);
    out += size;
  });
}

}  // namespace ET_BUILD
}  // namespace et
