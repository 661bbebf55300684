// Progressive Huffman decoding (ITU T.81 annex G): the scans of an image, into its coefficients.
#pragma once
#include "jpeg/entropy.h"
#include "jpeg/idct.h"
#include "jpeg/unstuff_loop.h"

namespace et {
namespace ET_BUILD {

// What the blocks of a restart segment have in common.
struct Pass {
  Bits bits;
  int predictor[3];
  int ended;  // blocks whose coefficients are known to have ended, the next ones first
};

// A code's symbol, or -1.
static inline int take_symbol(Bits& b, const DcTable& table) {
  const uint32_t e = table.fast[b.window >> (64 - kDcLookahead)];
  if (__builtin_expect(!e, 0)) {
    Bits copy = b;  // its address stays unknown elsewhere, so that the bits can be in registers
    const int symbol = long_symbol(copy, table.more, kDcLookahead);
    b = copy;
    return symbol;
  }
  skip(b, e & 63);
  return int(e >> 8);
}

static inline uint32_t take_bits(Bits& b, int n) {
  const uint32_t bits = uint32_t(b.window >> 1 >> (63 - n));
  skip(b, n);
  return bits;
}

// How many blocks end with a symbol whose lower half is 0 and whose upper half is `run`.
static inline int take_ended(Bits& b, int run) { return (1 << run) + int(take_bits(b, run)); }

static inline int16_t& coefficient(int16_t* block, int k) { return block[kPlaces.by_room[63 - k]]; }

// The bit before which `n` others are set; 0 where there are fewer.
static inline uint64_t set_bit(uint64_t bits, int n) {
#if defined(ET_AVX2)
  return _pdep_u64(uint64_t(1) << n, bits);
#else
  while (n-- > 0) bits &= bits - 1;
  return bits & -bits;
#endif
}

static inline uint64_t from_to(int first, int last) { return ~uint64_t(0) << first & ~uint64_t(0) >> (63 - last); }

// The first bits of a block's DC coefficient.
static inline bool dc_first(const ProgressiveScan& scan, int c, int16_t* block, uint64_t&, Pass& p) {
  refill(p.bits);
  const int bits = take_symbol(p.bits, scan.codes[c]);
  if (bits < 0 || bits > 11) return false;
  p.predictor[c] += signed_head(p.bits.window, bits);
  skip(p.bits, bits);
  block[0] = int16_t(p.predictor[c] * (1 << scan.low));
  return true;
}

static inline bool dc_further(const ProgressiveScan& scan, int, int16_t* block, uint64_t&, Pass& p) {
  refill(p.bits);
  block[0] = int16_t(block[0] | take_bits(p.bits, 1) << scan.low);
  return true;
}

static inline bool ac_first(const ProgressiveScan& scan, int, int16_t* block, uint64_t& set, Pass& p) {
  if (p.ended) return p.ended--, true;
  for (int k = scan.first; k <= scan.last; k++) {
    refill(p.bits);
    const int symbol = take_symbol(p.bits, scan.codes[0]), run = symbol >> 4, bits = symbol & 15;
    if (symbol < 0 || bits > 10) return false;
    if (!bits && run < 15) return p.ended = take_ended(p.bits, run) - 1, true;
    k += run;
    if (k > scan.last) return false;
    if (!bits) continue;  // sixteen zeros
    coefficient(block, k) = int16_t(signed_head(p.bits.window, bits) * (1 << scan.low));
    skip(p.bits, bits);
    set |= uint64_t(1) << k;
  }
  return true;
}

// One more bit of each coefficient among `which`.
static inline void correct(const ProgressiveScan& scan, int16_t* block, uint64_t which, Pass& p) {
  const int16_t one = int16_t(1 << scan.low);
  for (int count = 0; which; which &= which - 1, count++) {
    if (count % 32 == 0) refill(p.bits);
    int16_t& value = coefficient(block, __builtin_ctzll(which));
    const int16_t more = int16_t(take_bits(p.bits, 1) * one & ~value);
    value = int16_t(value + (value < 0 ? -more : more));
  }
}

static inline bool ac_further(const ProgressiveScan& scan, int, int16_t* block, uint64_t& set, Pass& p) {
  int k = scan.first;
  const uint64_t old = set;
  while (!p.ended && k <= scan.last) {
    refill(p.bits);
    const int symbol = take_symbol(p.bits, scan.codes[0]), run = symbol >> 4, bits = symbol & 15;
    if (symbol < 0 || bits > 1) return false;
    if (!bits && run < 15) {
      p.ended = take_ended(p.bits, run);
      break;
    }
    const int sign = bits ? int(take_bits(p.bits, 1)) : 0;
    // The place behind `run` coefficients that are 0; those on the way that are not get their bit.
    const uint64_t place = set_bit(~old & from_to(k, scan.last), run);
    if (!place) return false;
    const int at = __builtin_ctzll(place);
    if (at > k) correct(scan, block, old & from_to(k, at - 1), p);
    if (bits) coefficient(block, at) = int16_t(sign ? 1 << scan.low : -(1 << scan.low)), set |= uint64_t(1) << at;
    k = at + 1;
  }
  if (p.ended) {
    p.ended--;
    if (k <= scan.last) correct(scan, block, old & from_to(k, scan.last), p);
  }
  return true;
}

// Blocks of MCUs [from, to).
template <class Step>
static bool each_block(const ProgressiveScan& scan, int from, int to, const uint8_t* stop, Pass& pass, const Step& step) {
  Pass p = pass;
  int mx = from % scan.mcus_x, my = from / scan.mcus_x;
  for (int mcu = from; mcu < to; mcu++) {
    for (int c = 0; c < scan.count; c++) {
      const CoefficientPlane& plane = *scan.plane[c];
      for (int y = 0; y < scan.v[c]; y++)
        for (int x = 0; x < scan.h[c]; x++) {
          const size_t at = size_t(my * scan.v[c] + y) * plane.across + mx * scan.h[c] + x;
          if (!step(scan, c, plane.blocks + 64 * at, plane.set[at], p)) return false;
        }
    }
    if (p.bits.next > stop) return false;
    if (++mx == scan.mcus_x) mx = 0, my++;
  }
  pass = p;
  return true;
}

static bool read_progressive(const ProgressiveScan& scan, const uint8_t*& at, const uint8_t* end, uint8_t* memory) {
  const int total = scan.mcus_x * scan.mcus_y, interval = scan.restart ? scan.restart : total;
  const int needed = scan.mcus_x * std::min(scan.mcus_y, scan.rows);
  for (int from = 0, segment = 0; from < needed; from += interval, segment++) {
    const int whole = std::min(total, from + interval), to = std::min(needed, whole);
    uint8_t* copied = memory;
    const Marker marker = copy_to_marker(at, end, copied);
    at = marker.begin;
    std::memset(copied, 0, kGap);
    const size_t size = size_t(copied - memory);
    const uint8_t* const stop = copied + 32;
    Pass p = {{memory, 0, 0}, {}, 0};
    const bool good = !scan.first ? scan.high ? each_block(scan, from, to, stop, p, dc_further)
                                              : each_block(scan, from, to, stop, p, dc_first)
                      : scan.high ? each_block(scan, from, to, stop, p, ac_further)
                                  : each_block(scan, from, to, stop, p, ac_first);
    const int64_t spare = int64_t(size) * 8 - bits_used(p.bits, memory);
    if (!good || spare < 0 || (to == whole && (spare >= 8 || p.ended))) return false;
    if (whole < total && marker.code != (kRst0 | (segment & 7))) return false;
    if (whole < total) at = marker.end;
  }
  return true;
}

// The pixels of all blocks that a plan keeps.
static void place_coefficients(const ScanPlan& plan, const CoefficientPlane* planes) {
  for (int my = plan.mcus.y0; my < plan.mcus.y1; my++)
    for (int mx = plan.mcus.x0; mx < plan.mcus.x1; mx++)
      for (int b = 0; b < plan.blocks; b++) {
        const BlockPlan& block = plan.block[b];
        const CoefficientPlane& plane = planes[block.component];
        const size_t at = size_t(my * plan.per_mcu_y[block.component] + block.y) * plane.across +
                          mx * plan.per_mcu_x[block.component] + block.x;
        const uint64_t set = plane.set[at];
        place_block(plan, block, mx, my, plane.blocks + 64 * at, set ? 63 - __builtin_clzll(set) : 0);
      }
}

}  // namespace ET_BUILD
}  // namespace et
