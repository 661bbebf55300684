// The Huffman symbols of a scan: recode.cpp reads, counts and writes them.
#pragma once
#include "jpeg.h"
#include "memory.h"

namespace et {

// A token: bits 24-25 its table, 16-23 the symbol, 0-15 the symbol's value bits.
using Token = uint32_t;
enum { kTables = 4, kRest = 1, kAc = 2 };  // tables: DC (kAc: AC) of the first component (kRest: of the others)

class Tokens {
 public:
  Token* room(size_t more) {  // null when memory is out
    return bytes_.room(more * sizeof(Token)) ? reinterpret_cast<Token*>(bytes_.data() + bytes_.size) : nullptr;
  }
  void advance(size_t count) { bytes_.size += count * sizeof(Token); }
  void clear() { bytes_.size = 0; }
  const Token* begin() const { return reinterpret_cast<const Token*>(bytes_.data()); }
  const Token* end() const { return begin() + bytes_.size / sizeof(Token); }

 private:
  Bytes bytes_;
};

struct Code {
  uint32_t bits;    // already shifted to make room for the value bits
  uint32_t length;  // value bits included
};

// A block's quantised coefficients in zigzag order, and which of them are not 0.
struct Coefficients {
  uint64_t filled;
  int16_t level[64];
};

}  // namespace et
