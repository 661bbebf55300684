// The 32-bit check of a run of bytes that stands in a record's table, one for its headers and one for each MCU row.
//
// A flipped bit in entropy-coded data mostly decodes to something, so only a check sees it; and since the loader reads the rows
// under the crop and no others, each row has one of its own. Four multiply-and-rotate chains side by side keep the
// multiplier busy, and give the same on every processor. Each step is a bijection of its chain, so any change within 8 bytes is
// seen for certain, and anything else but for a chance of 2^-32. It guards against accidents, not against forgers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace et {

inline uint32_t row_check(const uint8_t* bytes, size_t size) {
  constexpr uint64_t kOdd = 0x9E3779B185EBCA87u;
  uint64_t chain[4] = {size, size ^ kOdd, size + kOdd, size - kOdd};
  const auto step = [&](const uint8_t* at) {
    for (int i = 0; i < 4; i++) {
      uint64_t word;
      std::memcpy(&word, at + 8 * i, 8);
      word = (chain[i] ^ word) * kOdd;
      chain[i] = word << 29 | word >> 35;
    }
  };
  for (; size >= 32; bytes += 32, size -= 32) step(bytes);
  uint8_t rest[32] = {0};
  if (size) std::memcpy(rest, bytes, size);
  step(rest);
  uint64_t all = 0;
  for (const uint64_t v : chain) all = (all ^ v ^ v >> 32) * kOdd, all ^= all >> 29;
  return uint32_t(all >> 32);
}

// Bytes of the table of `rows` MCU rows: row_check of the offsets and the JPEG's headers, row_check of each row, then the rows'
// offsets; all uint32. The JPEG follows.
inline size_t table_bytes(size_t rows) { return rows ? 4 * (2 * rows + 1) : 0; }

}  // namespace et
