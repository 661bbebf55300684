// Baseline Huffman decoding (ITU T.81 annex F): the one reader, for pixels (segments.h) and for conversion (token_loops.h).
//
// Why not libjpeg's: that one takes a slower path at restart markers, cannot start at a segment, and must decode everything in
// between. This one looks up code and value together, refills without a branch, and skips blocks outside the crop faster than it
// decodes the others. It reads bytes without stuffing; next_marker (markers.h) removes that.
#pragma once
#include <algorithm>

#include "simd/loops.h"
#include "simd/vectors.h"

namespace et {
namespace ET_BUILD {

static inline int64_t bits_used(const Bits& b, const uint8_t* base) { return (b.next - base) * 8 - int64_t(b.left & 63); }

static inline uint64_t load_be64(const uint8_t* p) {
  uint64_t v;
  std::memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  v = __builtin_bswap64(v);
#endif
  return v;
}

static inline void skip(Bits& b, int n) {
  b.window <<= n;
  b.left -= n;
}

// T.81 F.2.2.1, EXTEND: the first `n` bits, 0..15, as a signed value. Signs are random: a branch would be wrong half the time.
static inline int signed_head(uint64_t bits, int n) {
  return int(bits >> 1 >> (63 - n)) - (~int(int64_t(bits) >> 63) & ((1 << n) - 1));
}

// Calls fill(index of the first, number of them, length, symbol) for the look-up entries of each code up to `lookahead` bits.
template <class Fill>
static void build_table(const HuffSpec& spec, int lookahead, LongCodes& more, Fill fill) {
  std::memcpy(more.symbols, spec.symbols, sizeof more.symbols);
  int code = 0, index = 0;
  for (int length = 1; length <= 16; length++) {
    more.first[length] = index - code;
    for (int i = 0; i < spec.counts[length]; i++, code++, index++)
      if (length <= lookahead) fill(code << (lookahead - length), 1 << (lookahead - length), length, spec.symbols[index]);
    more.last[length] = spec.counts[length] ? code << (16 - length) : 0;
    code <<= 1;
  }
}

static void build_dc(const HuffSpec& spec, DcTable& table) {
  std::memset(table.fast, 0, sizeof table.fast);
  build_table(spec, kDcLookahead, table.more, [&table](int from, int n, int length, int symbol) {
    std::fill_n(table.fast + from, n, uint16_t(symbol << 8 | length));
  });
}

// Advance of an AC symbol: run + 1 coefficients, 16 for ZRL; other symbols without a value end the block, as in libjpeg.
static inline int ac_advance(int symbol) {
  return (symbol & 15) || symbol == 0xF0 ? (symbol >> 4) + 1 : int(AcTable::kEndSkip);
}

static void build_ac(const HuffSpec& spec, AcTable& table) {
  table.skips = false;
  std::fill_n(table.fast, 1 << kLookahead, +AcTable::kSplit);
  build_table(spec, kLookahead, table.more, [&table](int from, int n, int length, int symbol) {
    const int bits = symbol & 15, advance = ac_advance(symbol);
    uint32_t* out = table.fast + from;
    if (length + bits > kLookahead) {
      std::fill_n(out, n, AcTable::entry(length, bits, advance) | AcTable::kSplit);
      return;
    }
    for (int raw = 0; raw < 1 << bits; raw++) {
      const int value = signed_head(uint64_t(raw) << 1 << (63 - bits), bits);
      out = std::fill_n(out, n >> bits, AcTable::entry(length + bits, value, advance));
    }
  });
}

// See Note [blocks passed over].
static void build_skip(const HuffSpec& spec, AcTable& table) {
  enum : uint32_t { kSize = 1 << kLookahead, kRounds = 2 };  // symbols behind the first; more than these rarely fit
  uint16_t codes[kSize];  // length, symbol; what is no code is too long to fit
  LongCodes unused;
  std::fill_n(codes, +kSize, uint16_t(0xFF));
  build_table(spec, kLookahead, unused, [&codes](int from, int n, int length, int symbol) {
    std::fill_n(codes + from, n, uint16_t(symbol << 8 | length));
  });
  // The entry of a first symbol and of those that follow in `rest`. No branches: which symbols fit is as good as random.
  const auto extended = [&codes](uint32_t length, uint32_t advance, uint32_t rest) {
    for (int round = 0; round < int(kRounds); round++) {
      const uint32_t code = codes[rest & (kSize - 1)], symbol = code >> 8, size = symbol & 15;
      const bool last = (size == 0) & (symbol != 0xF0);
      const uint32_t seen = length + (code & 0xFF), step = last ? +AcTable::kEndSkip : (symbol >> 4) + 1;
      const bool room = advance + (last ? 0 : step) <= AcTable::kSkipMost;
      const bool fits = (seen <= kLookahead) & (seen + size <= AcTable::kSkipBits) & room;
      const uint32_t more = fits ? (code & 0xFF) + size : 0;
      rest <<= more, length += more, advance += fits ? step : 0;
    }
    return AcTable::entry(length, 0, advance);
  };
  std::memcpy(table.skip, table.fast, sizeof table.skip);
  build_table(spec, kLookahead, unused, [&table, &extended](int from, int n, int length, int symbol) {
    const int size = symbol & 15, total = length + size, advance = ac_advance(symbol);
    uint32_t* const out = table.skip + from;
    if (total > int(AcTable::kSkipBits)) return;
    if (advance == int(AcTable::kEndSkip) || total >= kLookahead) {
      std::fill_n(out, n, AcTable::entry(total, 0, advance));
      return;
    }
    const int each = n >> size;  // entries for each value of the first symbol: all alike
    for (int i = 0; i < each; i++) out[i] = extended(total, advance, i << total);
    for (int i = each; i < n; i += each) std::memcpy(out + i, out, each * sizeof *out);
  });
  table.skips = true;
}

// A code longer than `lookahead` bits; returns its symbol or -1.
static int __attribute__((noinline)) long_symbol(Bits& b, const LongCodes& table, int lookahead) {
  const int32_t head = int32_t(b.window >> 48);
  for (int length = lookahead + 1; length <= 16; length++)
    if (head < table.last[length]) {
      const int index = (head >> (16 - length)) + table.first[length];
      skip(b, length);
      return index >= 0 && index < 256 ? table.symbols[index] : -1;
    }
  return -1;
}

// 63 - zigzag position of the last symbol's coefficient; kEndSkip less after EOB.
static inline int room(const Cursor& c) { return int8_t(c.bits.left >> 8); }
static inline uint8_t place(const Cursor& c) { return kPlaces.by_room[uint8_t(c.bits.left >> 8)]; }

// At least 56 bits afterwards.
static inline __attribute__((always_inline)) void refill(Bits& b) {
  b.window |= load_be64(b.next) >> (b.left & 63);
  b.next += 7 - (b.left >> 3 & 7);
  b.left |= 56;
}
static inline __attribute__((always_inline)) void refill(Cursor& c) { refill(c.bits); }

// A block's DC difference; the AC coefficients come next. Takes up to 27 bits. False if no code fits.
static inline __attribute__((always_inline)) bool take_dc(Cursor& c, const DcTable& table, int& difference) {
  const uint32_t e = table.fast[c.bits.window >> (64 - kDcLookahead)];
  int bits = e >> 8;
  skip(c.bits, e & 63);
  if (__builtin_expect(!e, 0)) {
    Bits b = c.bits;  // its address stays unknown elsewhere, so that the cursor can be in registers
    bits = long_symbol(b, table.more, kDcLookahead);
    c.bits = b;
    if (bits < 0) return false;
  }
  difference = signed_head(c.bits.window, bits);
  skip(c.bits, bits);
  c.bits.left = (c.bits.left & 63) | 63 << 8;
  return true;
}

// The rare symbols: code and value longer than the look-up. At least 56 bits afterwards. Returns value and advance as an entry of
// the table has them, 0 if no code fits.
static uint32_t __attribute__((noinline)) slow_ac(BlockStream& stream, uint32_t e) {
  Cursor& c = stream.cursor;
  refill(c);
  int bits = e >> 16, advance = e >> 8 & 0xFF;
  skip(c.bits, e & 63);
  if (!(e & 63)) {
    const int symbol = long_symbol(c.bits, stream.block->ac->more, kLookahead);
    if (symbol < 0) return 0;
    bits = symbol & 15, advance = ac_advance(symbol);
  }
  const int value = signed_head(c.bits.window, bits);
  c.bits.left -= advance << 8;
  stream.coefficients[place(c)] = int16_t(value);
  skip(c.bits, bits);
  refill(c);
  return AcTable::entry(0, value, advance);
}

// One AC symbol; false if no code fits. `e` becomes its entry of the table. Takes kLookahead bits at the most, so that a refill
// serves four. The cursor is handed over by value in the rare case: were its address known elsewhere, it could not stay in
// registers.
static inline __attribute__((always_inline)) bool take_ac(Cursor& c, BlockStream& stream, uint64_t& e) {
  e = c.ac[c.bits.window >> (64 - kLookahead)];
  if (__builtin_expect((e & AcTable::kSplit) != 0, 0)) {
    stream.cursor = c;
    e = slow_ac(stream, uint32_t(e));
    c = stream.cursor;
    return e != 0;
  }
  c.bits.window <<= e & 63;
  c.bits.left -= e;
  stream.coefficients[place(c)] = int16_t(e >> 16);
  return true;
}

}  // namespace ET_BUILD
}  // namespace et
