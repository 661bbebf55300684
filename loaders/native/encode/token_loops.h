// The Huffman symbols of a whole scan, read strictly (any deviation from the format is an error) and written. See tokens.h.
#pragma once
#include <algorithm>
#include <cstdlib>

#include "jpeg/entropy.h"
#include "jpeg/idct.h"
#include "jpeg/unstuff_loop.h"

namespace et {
namespace ET_BUILD {

// run: modulo 16.
static inline Token token(uint32_t table, uint32_t run, int value) {
  const int sign = value >> 31;
  const uint32_t bits = uint32_t(value + sign), magnitude = bits ^ uint32_t(sign);
  const int size = 31 - __builtin_clz(2 * magnitude + 1);
  return table << 24 | (run & 15) << 20 | uint32_t(size) << 16 | (bits & ((1u << size) - 1));
}

class ScanReader : BlockStream {
 public:
  // draw: where to put the pixels, too, or null. segment: memory for the bytes of a restart segment, kPad more than the JPEG has.
  ScanReader(const uint8_t* jpeg, size_t size, const Header& h, const ScanPlan* draw, uint8_t* segment)
      : BlockStream{}, h_(h), draw_(draw), at_(jpeg + h.head), end_(jpeg + size), segment_(segment) {
    for (int c = 0; c < h.ncomp; c++) {  // a table serves all components that name it: together they should fit the cache
      const DcTable* dc = nullptr;
      const AcTable* ac = nullptr;
      for (int b = 0; b < blocks_; b++) {
        const Component& other = h.comp[block_[b].component];
        if (other.td == h.comp[c].td) dc = block_[b].dc;
        if (other.ta == h.comp[c].ta) ac = block_[b].ac;
      }
      if (!dc) build_dc(h.dc[h.comp[c].td], dc_[c]), dc = &dc_[c];
      if (!ac) build_ac(h.ac[h.comp[c].ta], ac_[c]), ac = &ac_[c];
      for (int b = h.comp[c].h * h.comp[c].v; b > 0 && blocks_ < 10; b--, blocks_++) {
        BlockPlan& plan = block_[blocks_];
        plan = draw ? draw->block[blocks_] : BlockPlan{};
        plan.component = c, plan.dc = dc, plan.ac = ac;
      }
    }
    enter();
  }

  bool read(int interval, Tokens& tokens, size_t* ends, uint32_t* counts, Tail& tail, Error& e) {
    int in[3] = {0, 0, 0}, out[3] = {0, 0, 0};  // DC predictions
    int restarts = 0;
    uint32_t odd[kTables * 256] = {0};  // counts of every other token: adding to one number twice in a row takes its time
    for (int my = 0, to_restart = h_.restart, to_end = interval; my < h_.mcus_y; my++)
      for (int mx = 0; mx < h_.mcus_x; mx++) {
        if (h_.restart && to_restart-- == 0) {
          if (!restart(restarts++, e)) return false;
          to_restart = h_.restart - 1;
          std::fill_n(in, 3, 0);
        }
        Token* const begin = tokens.room(size_t(blocks_) * 64);
        if (!begin) return e.set(ET_IO, "out of memory for the symbols of %d x %d pixels", h_.width, h_.height);
        Token* at = begin;
        Cursor c = cursor;  // a local copy, so that it stays in registers
        for (block = block_; block < block_ + blocks_; block++) {
          int last = 0;
          at = read_block(c, in[block->component], out[block->component], at, last);
          if (spare_bits(c) < 0) return e.set(ET_DAMAGED, "the scan ends early, at MCU %d of row %d", mx, my);
          if (!at) return e.set(ET_DAMAGED, "invalid Huffman codes at MCU %d of row %d", mx, my);
          if (draw_) place_block(*draw_, *block, mx, my, coefficients, last);
          clear(coefficients);
        }
        cursor = c;
        const Token* t = begin;
        for (; t + 1 < at; t += 2) counts[t[0] >> 16]++, odd[t[1] >> 16]++;
        if (t < at) counts[*t >> 16]++;
        tokens.advance(at - begin);
        if (--to_end) continue;
        *ends++ = tokens.end() - tokens.begin();
        to_end = interval;
        std::fill_n(out, 3, 0);
      }
    for (int i = 0; i < kTables * 256; i++) counts[i] += odd[i];
    tail = read_tail(marker_.begin, end_);
    tail.bytes += size_t(spare_bits(cursor)) / 8;
    return true;
  }

 private:
  // Begins the restart segment at at_. Zeros follow it, so that damaged data fail alike wherever they lie.
  void enter() {
    uint8_t* end = segment_;
    marker_ = copy_to_marker(at_, end_, end);
    std::memset(end, 0, kPad);
    size_ = end - segment_;
    cursor.bits = {segment_, 0, 0};
  }

  int64_t spare_bits(const Cursor& c) const { return int64_t(size_) * 8 - bits_used(c.bits, segment_); }  // left in the segment

  // Moves past restart marker number `count`.
  bool restart(int count, Error& e) {
    const int wanted = kRst0 | (count & 7);
    if (const size_t unused = size_t(spare_bits(cursor)) / 8)
      return e.set(ET_DAMAGED, "%zu bytes without meaning before marker ff%02x", unused, wanted);
    if (marker_.code != wanted) return e.set(ET_DAMAGED, "marker ff%02x stands where ff%02x should", marker_.code, wanted);
    at_ = marker_.end;
    enter();
    return true;
  }

  // Writes the tokens of the block in hand and returns their end, null if the bits make no sense. Leaves its coefficients; the
  // last of them that is not 0 is at zigzag position `last`.
  Token* read_block(Cursor& c, int& in, int& out, Token* at, int& last) {
    const int dc = block->component ? kRest : 0;
    refill(c);
    int value;
    if (!take_dc(c, *block->dc, value)) return nullptr;
    in += value, coefficients[0] = int16_t(in);
    if (std::abs(in - out) > 2047) return nullptr;  // T.81 table F.1: 8-bit samples have no larger difference
    *at++ = token(dc, 0, in - out);
    out = in;
    c.ac = block->ac->fast;
    do {  // a refill serves four
      refill(c);
#pragma GCC unroll 4
      for (int symbol = 0; symbol < 4; symbol++) {
        uint64_t e;
        if (!take_ac(c, *this, e)) return nullptr;
        *at++ = token(dc | kAc, uint32_t(e >> 8) - 1, int32_t(e) >> 16);
        if (room(c) <= 0) break;
      }
    } while (room(c) > 0);
    const int end = 63 - room(c);
    const bool early = end >= int(AcTable::kEndSkip);
    last = early ? end - int(AcTable::kEndSkip) : 63;
    return early || end == 63 ? at : nullptr;  // else a run goes past the end
  }

  const Header& h_;
  const ScanPlan* const draw_;
  const uint8_t *at_, *const end_;  // the restart segment in hand, and the end of the JPEG
  Marker marker_;                   // ends the segment
  uint8_t* const segment_;          // the segment without stuffing
  size_t size_;                     // its bytes
  BlockPlan block_[10];             // the blocks of an MCU
  int blocks_ = 0;
  DcTable dc_[3];
  AcTable ac_[3];
};

class BitWriter {
 public:
  explicit BitWriter(uint8_t* at) : at_(at) {}

  // Up to 57 bits, at least one. Writes 8 bytes, of which the whole ones count: how many there are is no branch.
  void put(uint64_t bits, uint32_t length) {
    window_ = window_ << length | bits;
    used_ += length;
    uint64_t word = window_ << (64 - used_);
    if (word & ~(word + 0x0101010101010101u) & 0x8080808080808080u) {  // perhaps one byte is ff
      for (; used_ >= 8; used_ -= 8, word <<= 8) byte(uint8_t(word >> 56));
      return;
    }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    std::memcpy(at_, &word, 8);
    at_ += used_ >> 3, used_ &= 7;
  }
  uint8_t* flush() {  // fills the last byte with ones
    put(0x7F, 7);
    return at_;
  }

 private:
  void byte(uint8_t b) {
    *at_++ = b;
    if (b == 0xFF) *at_++ = 0;
  }

  uint8_t* at_;
  uint64_t window_ = 0;  // the last `used_` bits are to be written yet, the others have been
  uint32_t used_ = 0;
};

// Writes a block's tokens, at most 64, and returns their end.
static Token* tokens_of(const Coefficients& block, int component, int& prediction, Token* at) {
  const int dc = component ? kRest : 0, ac = dc | kAc;
  *at++ = token(dc, 0, block.level[0] - prediction);
  prediction = block.level[0];
  int last = 0;
  for (uint64_t rest = block.filled & ~uint64_t(1); rest; rest &= rest - 1) {
    const int k = __builtin_ctzll(rest);
    int run = k - last - 1;
    for (; run > 15; run -= 16) *at++ = token(ac, 15, 0);
    *at++ = token(ac, run, block.level[k]);
    last = k;
  }
  if (last < 63) *at++ = token(ac, 0, 0);
  return at;
}

static bool read_tokens(const uint8_t* jpeg, size_t size, const Header& h, int interval, const ScanPlan* draw, Buffer& memory,
                        Tokens& tokens, size_t* ends, uint32_t* counts, Tail& tail, Error& e) {
  uint8_t* segment = memory.reserve(size + kPad);
  if (!segment) return e.set(ET_IO, "out of memory for a scan of %zu bytes", size);
  return ScanReader(jpeg, size, h, draw, segment).read(interval, tokens, ends, counts, tail, e);
}

static uint8_t* write_tokens(const Token* token, const Token* end, const Code* codes, uint8_t* at) {
  BitWriter writer(at);
  const auto bits_of = [](const Code& code, Token t) { return uint64_t(code.bits | (t & 0xFFFF)); };
  for (; token + 1 < end; token += 2) {  // a code and its value have at most 27 bits: two at a time
    const Code &first = codes[token[0] >> 16], &second = codes[token[1] >> 16];
    writer.put(bits_of(first, token[0]) << second.length | bits_of(second, token[1]), first.length + second.length);
  }
  if (token < end) writer.put(bits_of(codes[*token >> 16], *token), codes[*token >> 16].length);
  return writer.flush();
}

}  // namespace ET_BUILD
}  // namespace et
