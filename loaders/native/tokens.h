// The Huffman symbols of a scan: what recode.cpp reads, counts and writes again.
#pragma once
#include "libjpeg.h"

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
  const Token* begin() const { return reinterpret_cast<const Token*>(bytes_.data()); }
  const Token* end() const { return begin() + bytes_.size / sizeof(Token); }

 private:
  Bytes bytes_;
};

// Tokens of a whole scan, their DC differences restarting every `interval` MCUs.
// ends: how many tokens there are up to the end of each such segment. counts: kTables * 256, incremented.
// extraneous: see recode().
bool read_tokens(const uint8_t* jpeg, size_t size, const Header& h, int interval, Tokens& tokens, size_t* ends,
                 uint32_t* counts, int& extraneous, Error& e);

}  // namespace et
