// Vector types, and helpers that every inner loop may use. See Note [one source, several builds] in loops.h.
#pragma once
#include <cstdint>
#include <cstring>

#ifndef ET_BUILD  // a header that is compiled alone
#define ET_BUILD portable
#define ET_BUILD_NAME "portable"
#endif
#ifdef ET_AVX2
#include <immintrin.h>
#endif

namespace et {
namespace ET_BUILD {

typedef int32_t v8 __attribute__((vector_size(32)));
typedef int16_t h8 __attribute__((vector_size(16)));
typedef uint8_t b16 __attribute__((vector_size(16)));
typedef int16_t h16 __attribute__((vector_size(32)));
typedef float f8 __attribute__((vector_size(32)));

// The same anywhere in memory. A memcpy would say it, too, but g++ makes two halves of one that fills an array.
typedef v8 v8_at __attribute__((aligned(2), may_alias));
typedef f8 f8_at __attribute__((aligned(4), may_alias));
typedef h8 h8_at __attribute__((aligned(2), may_alias));
typedef b16 b16_at __attribute__((aligned(1), may_alias));
typedef h16 h16_at __attribute__((aligned(2), may_alias));

#if defined(__clang__)
#define ET_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define ET_SHUFFLE_BYTES(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define ET_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, v8{__VA_ARGS__})
#define ET_SHUFFLE_BYTES(a, b, ...) __builtin_shuffle(a, b, b16{__VA_ARGS__})
#endif

// Two neighbouring weights as one 32-bit element, for a multiply-add of pairs.
static inline int32_t as_one(const int16_t* weights) {
  int32_t both;
  std::memcpy(&both, weights, sizeof both);
  return both;
}

static inline int16_t saturate(int v) { return v < -32768 ? -32768 : v > 32767 ? 32767 : int16_t(v); }
static inline uint8_t clamp_u8(int v) { return v < 0 ? 0 : v > 255 ? 255 : uint8_t(v); }

static inline void transpose8(v8 x[8]) {
  v8 a[8], b[8];
  for (int i = 0; i < 4; i++) {
    a[2 * i] = ET_SHUFFLE(x[2 * i], x[2 * i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    a[2 * i + 1] = ET_SHUFFLE(x[2 * i], x[2 * i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++) {
      b[4 * i + j] = ET_SHUFFLE(a[4 * i + j], a[4 * i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      b[4 * i + j + 2] = ET_SHUFFLE(a[4 * i + j], a[4 * i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; i++) {
    x[i] = ET_SHUFFLE(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    x[i + 4] = ET_SHUFFLE(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

}  // namespace ET_BUILD
}  // namespace et
