// The Huffman symbols of a whole scan, read strictly (whatever does not fit the format is an error) and written. See tokens.h.
#pragma once
#include <algorithm>
#include <cstdlib>

#include "jpeg/idct.h"

namespace et {
namespace ET_BUILD {

// The bits of a scan, stuffing removed; stops before a marker and then gives zeros. A value type, so that the compiler can
// keep a local one in registers.
struct BitReader {
  const uint8_t *at, *end;
  uint64_t window;    // the next bits, left-aligned
  int left, made_up;  // how many there are; how many of them are not in the file

  void refill() {  // at least 56 bits afterwards
    if (end - at < 8) {
      *this = refilled_bytewise(*this);
      return;
    }
    uint64_t next;
    std::memcpy(&next, at, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    next = __builtin_bswap64(next);
#endif
    if (next & ~(next + 0x0101010101010101u) & 0x8080808080808080u) {  // perhaps one byte is ff
      *this = refilled_bytewise(*this);
      return;
    }
    const int bytes = (63 - left) >> 3;
    window |= next >> left;  // the bits past `left` come again, the same, with the next refill
    left += 8 * bytes, at += bytes;
  }
  void skip(int n) { window <<= n, left -= n; }
  bool overrun() const { return left < made_up; }  // more bits were used than there are

  // Ends a segment and empties the window. Returns how many whole bytes of it were not used.
  size_t drop() {
    const size_t unused = size_t(std::max(left - made_up, 0)) >> 3;
    window = 0, left = made_up = 0;
    return unused;
  }

 private:
  static BitReader __attribute__((noinline)) refilled_bytewise(BitReader b) {
    b.window = b.left ? b.window & ~uint64_t(0) << (64 - b.left) : 0;
    for (; b.left < 56; b.left += 8) {
      const uint8_t* p = b.at;
      while (p < b.end && *p == 0xFF) p++;
      if (p == b.end || (p > b.at && *p != 0)) {  // the end, or a marker
        b.made_up += 8;
        continue;
      }
      b.window |= uint64_t(p > b.at ? 0xFF : *p) << (56 - b.left);
      b.at = p + 1;
    }
    return b;
  }
};

// Decoding table. An entry: bits 0-7 length of code and value together, 8-15 of the code alone, 16-23 symbol, 24-31 how many
// coefficients it takes one further; 0: no code, or one longer than kFast bits.
struct Decoder {
  enum { kFast = 10, kEnd = AcTable::kEndSkip };
  uint32_t fast[1 << kFast];
  int32_t last[17];   // largest code of each length plus one, left-aligned to 16 bits
  int32_t shift[17];  // index of a symbol minus its code
  const uint8_t* symbols;

  static uint32_t entry(int symbol, int length) {
    const uint32_t advance = (symbol & 15) || symbol == 0xF0 ? (symbol >> 4) + 1 : +kEnd;
    if (advance == kEnd) symbol = 0;  // whatever ends a block is written as EOB
    return advance << 24 | symbol << 16 | length << 8 | (length + (symbol & 15));
  }

  void build(const HuffSpec& spec) {
    std::memset(fast, 0, sizeof fast);
    symbols = spec.symbols;
    int code = 0, index = 0;
    for (int length = 1; length <= 16; length++) {
      shift[length] = index - code;
      for (int i = 0; i < spec.counts[length]; i++, code++, index++)
        if (length <= kFast)
          std::fill_n(fast + (code << (kFast - length)), 1 << (kFast - length), entry(symbols[index], length));
      last[length] = spec.counts[length] ? code << (16 - length) : 0;
      code <<= 1;
    }
  }

  // The next symbol, its value bits, and its value; false where no code fits. Takes 16 + 11 bits at the most.
  bool next(BitReader& bits, uint32_t& e, uint32_t& raw, int& value) const {
    e = fast[bits.window >> (64 - kFast)];
    if (__builtin_expect(e == 0, 0) && !(e = longer(uint32_t(bits.window >> 48)))) return false;
    const uint64_t rest = bits.window << (e >> 8 & 63);
    const uint32_t size = e >> 16 & 15;
    raw = uint32_t(rest >> 1 >> (63 - size));
    value = int(raw) - (~int(int64_t(rest) >> 63) & ((1 << size) - 1));  // signs are random: a branch would be wrong half the time
    bits.skip(e & 63);  // a shift by six bits needs no masking, a shift by five would
    return true;
  }

 private:
  uint32_t __attribute__((noinline)) longer(int32_t head) const {
    for (int length = kFast + 1; length <= 16; length++)
      if (head < last[length]) return entry(symbols[(head >> (16 - length)) + shift[length]], length);
    return 0;
  }
};

class ScanReader {
 public:
  ScanReader(const uint8_t* jpeg, size_t size, const Header& h) : h_(h), bits_{jpeg + h.head, jpeg + size, 0, 0, 0} {
    int built = 0;
    for (int c = 0; c < h.ncomp; c++) {  // a table serves all components that name it: together they should fit the cache
      for (int d = 0; d < c; d++) {
        if (h.comp[d].td == h.comp[c].td) dc_[c] = dc_[d];
        if (h.comp[d].ta == h.comp[c].ta) ac_[c] = ac_[d];
      }
      if (!dc_[c]) (dc_[c] = tables_ + built++)->build(h.dc[h.comp[c].td]);
      if (!ac_[c]) (ac_[c] = tables_ + built++)->build(h.ac[h.comp[c].ta]);
    }
  }

  bool read(int interval, const ScanPlan* draw, Tokens& tokens, size_t* ends, uint32_t* counts, Tail& tail, Error& e) {
    int blocks = 0, in_component[10];
    for (int c = 0; c < h_.ncomp; c++)
      for (int b = h_.comp[c].h * h_.comp[c].v; b > 0 && blocks < 10; b--) in_component[blocks++] = c;
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
        Token* const begin = tokens.room(size_t(blocks) * 64);
        if (!begin) return e.set(ET_IO, "out of memory for the symbols of %d x %d pixels", h_.width, h_.height);
        Token* at = begin;
        BitReader bits = bits_;
        for (int b = 0; b < blocks; b++) {
          const int c = in_component[b];
          int last = 0;
          if (!(at = block(bits, c, in[c], out[c], at, last)))
            return e.set(ET_DAMAGED, "invalid Huffman codes at MCU %d of row %d", mx, my);
          if (draw) place_block(*draw, draw->block[b], mx, my, coefficients_, last);
          clear(coefficients_);
        }
        bits_ = bits;
        if (bits_.overrun()) return e.set(ET_DAMAGED, "the scan ends early, at MCU %d of row %d", mx, my);
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
    const size_t unused = bits_.drop();
    tail = read_tail(bits_.at, bits_.end);
    tail.bytes += unused;
    return true;
  }

 private:
  // Goes past restart marker number `count`.
  bool restart(int count, Error& e) {
    const int wanted = kRst0 | (count & 7);
    size_t unused = bits_.drop();
    const Marker marker = next_marker(bits_.at, bits_.end);
    unused += marker.begin - bits_.at;
    bits_.at = marker.end;
    if (unused) return e.set(ET_DAMAGED, "%zu bytes without meaning before marker ff%02x", unused, wanted);
    return marker.code == wanted || e.set(ET_DAMAGED, "marker ff%02x stands where ff%02x should", marker.code, wanted);
  }

  // Writes a block's tokens and returns their end, null where the bits make no sense. Leaves its coefficients, of which that
  // at zigzag position `last` is the last one.
  Token* block(BitReader& bits, int c, int& in, int& out, Token* at, int& last) {
    const Token dc = Token(c ? kRest : 0) << 24, ac = dc | Token(kAc) << 24;
    uint32_t e, raw;
    int value;
    bits.refill();
    if (!dc_[c]->next(bits, e, raw, value)) return nullptr;
    in += value;
    const int difference = in - out, magnitude = std::abs(difference);
    out = in, coefficients_[0] = int16_t(in);
    const int size = magnitude ? 32 - __builtin_clz(uint32_t(magnitude)) : 0;
    if (size > 11) return nullptr;  // T.81 table F.1: 8-bit samples have no larger one
    *at++ = dc | size << 16 | ((difference < 0 ? difference - 1 : difference) & ((1 << size) - 1));
    const Decoder& symbols = *ac_[c];
    uint32_t k = 1;
    const auto take = [&] {
      if (!symbols.next(bits, e, raw, value)) return false;
      *at++ = ac | (e & 0xFF0000) | raw;
      k += e >> 24;
      coefficients_[kPlaces.by_room[uint8_t(64 - k)]] = int16_t(value);
      return true;
    };
    do {  // a refill serves two
      bits.refill();
      if (!take()) return nullptr;
      if (k >= 64) break;
      if (!take()) return nullptr;
    } while (k < 64);
    last = k > Decoder::kEnd ? int(k) - Decoder::kEnd - 1 : 63;
    return k == 64 || k >= Decoder::kEnd ? at : nullptr;
  }

  const Header& h_;
  BitReader bits_;
  Decoder* dc_[3] = {};
  Decoder* ac_[3] = {};
  Decoder tables_[6];
  alignas(32) int16_t coefficients_[80] = {};  // as in Lane
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

static inline Token token(int table, int run, int value) {
  const int size = value ? 32 - __builtin_clz(uint32_t(std::abs(value))) : 0;
  return Token(table) << 24 | Token(run << 4 | size) << 16 | ((value < 0 ? value - 1 : value) & ((1 << size) - 1));
}

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

static bool read_tokens(const uint8_t* jpeg, size_t size, const Header& h, int interval, const ScanPlan* draw, Tokens& tokens,
                        size_t* ends, uint32_t* counts, Tail& tail, Error& e) {
  return ScanReader(jpeg, size, h).read(interval, draw, tokens, ends, counts, tail, e);
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
