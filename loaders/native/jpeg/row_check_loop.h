// The check of a run of bytes.
//
// Four multiply-and-rotate chains side by side keep the multiplier busy, and give the same on every processor. Each step is a
// bijection of its chain, so any change within 8 bytes is seen for certain, and anything else but for a chance of 2^-32. It
// guards against accidents, not against forgers.
#pragma once
#include "simd/vectors.h"

namespace et {
namespace ET_BUILD {

#if defined(ET_VNNI)
typedef uint64_t q4 __attribute__((vector_size(32)));  // AVX-512 has a product of 64 bits
#else
struct q4 {
  uint64_t chain[4];
  uint64_t& operator[](int i) { return chain[i]; }
};
#endif

static uint32_t check(const uint8_t* bytes, size_t size) {
  constexpr uint64_t kOdd = 0x9E3779B185EBCA87u;
  q4 chain = {size, size ^ kOdd, size + kOdd, size - kOdd};
  const auto step = [&](const uint8_t* at) {
    q4 word;
    std::memcpy(&word, at, sizeof word);
#if defined(ET_VNNI)
    word = (chain ^ word) * kOdd;
    chain = word << 29 | word >> 35;
#else
    for (int i = 0; i < 4; i++) {
      word[i] = (chain[i] ^ word[i]) * kOdd;
      chain[i] = word[i] << 29 | word[i] >> 35;
    }
#endif
  };
  for (; size >= 32; bytes += 32, size -= 32) step(bytes);
  uint8_t rest[32] = {0};
  if (size) std::memcpy(rest, bytes, size);
  step(rest);
  uint64_t all = 0;
  for (int i = 0; i < 4; i++) all = (all ^ chain[i] ^ chain[i] >> 32) * kOdd, all ^= all >> 29;
  return uint32_t(all >> 32);
}

}  // namespace ET_BUILD
}  // namespace et
