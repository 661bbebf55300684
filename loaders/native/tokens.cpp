// Reads a baseline scan symbol by symbol, strictly: whatever does not fit the format is an error. See tokens.h.
#include "tokens.h"

#include <algorithm>

namespace et {
namespace {

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

  // Ends a segment. Returns how many whole bytes were left unused, and goes to the next marker; `code` 0: there is none.
  int64_t finish(int& code) {
    int64_t unused = (left - made_up) >> 3;
    window = 0, left = made_up = 0, code = 0;
    for (; at < end; at++, unused++) {
      if (*at != 0xFF) continue;
      const uint8_t* p = at;
      while (p < end && *p == 0xFF) p++;
      if (p == end) break;
      if (*p == 0) continue;
      code = *p, at = p + 1;
      break;
    }
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
  enum { kFast = 10, kEnd = 128 };
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

  // The next symbol and its value bits; false where no code fits. Takes 16 + 11 bits at the most.
  bool next(BitReader& bits, uint32_t& e, uint32_t& raw) const {
    e = fast[bits.window >> (64 - kFast)];
    if (__builtin_expect(e == 0, 0) && !(e = longer(uint32_t(bits.window >> 48)))) return false;
    raw = uint32_t((bits.window << (e >> 8 & 31)) >> 1 >> (63 - (e >> 16 & 15)));
    bits.skip(e & 31);
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
    for (int c = 0; c < h.ncomp; c++) {
      dc_[c].build(h.dc[h.comp[c].td]);
      ac_[c].build(h.ac[h.comp[c].ta]);
    }
  }

  bool read(int interval, Tokens& tokens, size_t* ends, uint32_t* counts, int& extraneous, Error& e) {
    int blocks = 0;
    for (int c = 0; c < h_.ncomp; c++) blocks += h_.comp[c].h * h_.comp[c].v;
    const int64_t total = int64_t(h_.mcus_x) * h_.mcus_y;
    int in[3] = {0, 0, 0}, out[3] = {0, 0, 0};  // DC predictions
    int code;
    for (int64_t m = 0; m < total; m++) {
      if (m && h_.restart && m % h_.restart == 0) {
        const int wanted = 0xD0 | (int(m / h_.restart - 1) & 7);
        const int64_t unused = bits_.finish(code);
        if (unused) return e.set(ET_DAMAGED, "%d bytes without meaning before marker ff%02x", int(unused), wanted);
        if (code != wanted) return e.set(ET_DAMAGED, "marker ff%02x stands where ff%02x should", code, wanted);
        std::fill_n(in, 3, 0);
      }
      if (m % interval == 0) std::fill_n(out, 3, 0);
      Token* const begin = tokens.room(size_t(blocks) * 64);
      if (!begin) return e.set(ET_IO, "out of memory for the symbols of %d x %d pixels", h_.width, h_.height);
      Token* at = begin;
      BitReader bits = bits_;
      for (int c = 0; c < h_.ncomp; c++)
        for (int b = h_.comp[c].h * h_.comp[c].v; b > 0; b--)
          if (!(at = block(bits, c, in[c], out[c], at))) return e.set(ET_DAMAGED, "invalid Huffman codes at MCU %d", int(m));
      bits_ = bits;
      if (bits_.overrun()) return e.set(ET_DAMAGED, "the scan ends early, at MCU %d of %d", int(m), int(total));
      for (const Token* t = begin; t < at; t++) counts[*t >> 16]++;
      tokens.advance(at - begin);
      if ((m + 1) % interval == 0) *ends++ = tokens.end() - tokens.begin();
    }
    extraneous = int(std::min<int64_t>(bits_.finish(code), 1 << 30));
    if (code && code != 0xD9) return e.set(ET_DAMAGED, "marker ff%02x stands behind the last MCU", code);
    if (!code) extraneous = -1;
    return true;
  }

 private:
  // Writes a block's tokens and returns their end; null where the bits make no sense.
  Token* block(BitReader& bits, int c, int& in, int& out, Token* at) {
    const Token dc = Token(c ? kRest : 0) << 24, ac = dc | Token(kAc) << 24;
    uint32_t e, raw;
    bits.refill();
    if (!dc_[c].next(bits, e, raw)) return nullptr;
    int size = e >> 16 & 15;
    if (size) in += int(raw) < 1 << (size - 1) ? int(raw) - (1 << size) + 1 : int(raw);
    const int difference = in - out, magnitude = std::abs(difference);
    out = in;
    for (size = 0; magnitude >> size;) size++;
    if (size > 11) return nullptr;  // T.81 table F.1: 8-bit samples have no larger one
    *at++ = dc | size << 16 | ((difference < 0 ? difference - 1 : difference) & ((1 << size) - 1));
    uint32_t k = 1;
    do {
      bits.refill();
      for (int twice = 0; twice < 2 && k < 64; twice++) {
        if (!ac_[c].next(bits, e, raw)) return nullptr;
        *at++ = ac | (e & 0xFF0000) | raw;
        k += e >> 24;
      }
    } while (k < 64);
    return k == 64 || k >= Decoder::kEnd ? at : nullptr;
  }

  const Header& h_;
  BitReader bits_;
  Decoder dc_[3], ac_[3];
};

}  // namespace

bool read_tokens(const uint8_t* jpeg, size_t size, const Header& h, int interval, Tokens& tokens, size_t* ends,
                 uint32_t* counts, int& extraneous, Error& e) {
  return ScanReader(jpeg, size, h).read(interval, tokens, ends, counts, extraneous, e);
}

}  // namespace et
