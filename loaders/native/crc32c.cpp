// CRC-32C (Castagnoli), which TFRecord files have for each record: eight bytes at a time, by tables.
#include <cstring>

#include "kernel.h"

namespace {

struct Tables {
  uint32_t of[8][256];  // of[k][b]: what byte b becomes when k bytes follow it

  constexpr Tables() : of() {
    for (uint32_t b = 0; b < 256; b++) {
      uint32_t crc = b;
      for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
      of[0][b] = crc;
    }
    for (int k = 1; k < 8; k++)
      for (int b = 0; b < 256; b++) of[k][b] = of[k - 1][b] >> 8 ^ of[0][of[k - 1][b] & 255];
  }
};

constexpr Tables kTables;

}  // namespace

extern "C" uint32_t et_crc32c(const uint8_t* bytes, int64_t size) {
  const auto& of = kTables.of;
  uint32_t crc = ~0u;
  for (; size >= 8; size -= 8, bytes += 8) {
    uint32_t low, high;
    std::memcpy(&low, bytes, 4), std::memcpy(&high, bytes + 4, 4);
    low ^= crc;
    crc = of[7][low & 255] ^ of[6][low >> 8 & 255] ^ of[5][low >> 16 & 255] ^ of[4][low >> 24] ^  //
          of[3][high & 255] ^ of[2][high >> 8 & 255] ^ of[1][high >> 16 & 255] ^ of[0][high >> 24];
  }
  for (; size > 0; size--, bytes++) crc = crc >> 8 ^ of[0][(crc ^ *bytes) & 255];
  return ~crc;
}
