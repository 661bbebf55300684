// Baseline Huffman decoding (ITU T.81 annex F).
//
// Why another one: libjpeg's decoder takes a slower path at restart markers, cannot start at a segment, and must decode what
// lies between. This one looks code and value up together, refills without a branch, and parses blocks that nobody asked
// for without storing them.
#pragma once
#include <algorithm>

#include "simd/loops.h"
#include "simd/vectors.h"

namespace et {
namespace ET_BUILD {

// Where a stream stands. The loads of a refill depend on the refill before, not on the symbols in between: they are done by
// the time they are wanted.
struct Bits {
  const uint8_t* next;  // the first byte that the window holds nothing of for sure
  uint64_t window;      // bits to come, left-aligned
  uint64_t left;        // how many of them are accounted for, in the lowest six bits; bits 6 and 7: 0; above: see Cursor

  int64_t used(const uint8_t* base) const { return (next - base) * 8 - int64_t(left & 63); }  // bits from `base`
};

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

// The part of a lane that the inner loop keeps in registers. Bits 8-15 of bits.left are how many coefficients the block has room
// for yet, signed, so that one subtraction takes a symbol's bits and its coefficients; above, anything.
struct Cursor {
  Bits bits;
  const uint32_t* ac;  // the block's AC look-up

  int room() const { return int8_t(bits.left >> 8); }  // 63 - zigzag position of the last symbol's; kEndSkip less after EOB
  uint8_t place() const { return kPlaces.by_room[uint8_t(bits.left >> 8)]; }
};

static const char kNoCode[] = "a Huffman code that no table has", kShort[] = "the coded data end too early",
                  kLong[] = "coded data are left over";

// One stream through the segments: see Note [three at a time].
struct Lane {
  Cursor cursor;
  const ScanPlan* plan;
  const SegmentJob* job;
  const uint8_t* stop;              // where a block may at most end, see Note [reading past the end]
  const BlockPlan* block;           // the block in hand
  int mcu, mx, my;
  int predictor[3];
  const char* wrong;
  alignas(32) int16_t coefficients[80];  // the block in hand: 64 coefficients, one more that takes what lies past the end

  void enter(const SegmentJob* next) {
    job = next, mcu = job->first, block = plan->block, mx = job->mx, my = job->my;
    predictor[0] = predictor[1] = predictor[2] = 0;
    cursor.bits = {job->bytes, 0, 0}, stop = job->bytes + job->size + 32;
  }
  int64_t spare() const { return int64_t(job->size) * 8 - cursor.bits.used(job->bytes); }  // bits left in the segment
  bool fail() {
    wrong = spare() < 0 ? kShort : kNoCode;
    return false;
  }
};

// At least 56 bits afterwards.
static inline __attribute__((always_inline)) void refill(Cursor& c) {
  c.bits.window |= load_be64(c.bits.next) >> (c.bits.left & 63);
  c.bits.next += 7 - (c.bits.left >> 3 & 7);
  c.bits.left |= 56;
}

// The rare symbols: code and value longer than the look-up. At least 56 bits afterwards.
static bool __attribute__((noinline)) slow_ac(Lane& lane, uint32_t e) {
  Cursor& c = lane.cursor;
  refill(c);
  int bits = e >> 16, advance = e >> 8 & 0xFF;
  skip(c.bits, e & 63);
  if (!(e & 63)) {
    const int symbol = long_symbol(c.bits, lane.block->ac->more, kLookahead);
    if (symbol < 0) return lane.fail();
    bits = symbol & 15, advance = ac_advance(symbol);
  }
  c.bits.left -= advance << 8;
  lane.coefficients[c.place()] = int16_t(signed_head(c.bits.window, bits));
  skip(c.bits, bits);
  refill(c);
  return true;
}

// One AC symbol. Takes kLookahead bits at the most, so that a refill serves four. The cursor is handed over by value in the
// rare case: were its address known elsewhere, it could not stay in registers.
static inline __attribute__((always_inline)) bool take_ac(Cursor& c, Lane& lane) {
  const uint64_t e = c.ac[c.bits.window >> (64 - kLookahead)];
  if (__builtin_expect((e & AcTable::kSplit) != 0, 0)) {
    lane.cursor = c;
    const bool good = slow_ac(lane, uint32_t(e));
    c = lane.cursor;
    return good;
  }
  c.bits.window <<= e & 63;
  c.bits.left -= e;
  lane.coefficients[c.place()] = int16_t(e >> 16);
  return true;
}

// Begins the block that lane.block names.
static inline __attribute__((always_inline)) bool begin_block(Lane& lane) {
  Cursor& c = lane.cursor;
  const BlockPlan& plan = *lane.block;
  refill(c);
  const uint32_t e = plan.dc->fast[c.bits.window >> (64 - kDcLookahead)];
  int bits = e >> 8;
  skip(c.bits, e & 63);
  if (__builtin_expect(!e, 0)) {
    bits = long_symbol(c.bits, plan.dc->more, kDcLookahead);
    if (bits < 0) return lane.fail();
  }
  const int value = signed_head(c.bits.window, bits);
  skip(c.bits, bits);
  c.bits.left = (c.bits.left & 63) | 63 << 8, c.ac = plan.ac->fast;
  lane.coefficients[0] = int16_t(lane.predictor[plan.component] += value);
  return true;
}

}  // namespace ET_BUILD
}  // namespace et
