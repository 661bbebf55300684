// Decodes restart segments to pixels, several at once.
#pragma once
#include "jpeg/entropy.h"
#include "jpeg/idct.h"

namespace et {
namespace ET_BUILD {

static const char kNoCode[] = "a Huffman code that no table has", kShort[] = "the coded data end too early",
                  kLong[] = "coded data are left over";

static inline int64_t spare_bits(const Lane& lane) {  // left in the segment
  return int64_t(lane.job->size) * 8 - bits_used(lane.cursor.bits, lane.job->bytes);
}

static bool fail(Lane& lane) {
  lane.wrong = spare_bits(lane) < 0 ? kShort : kNoCode;
  return false;
}

// Begins the block that lane.block names; its DC coefficient is to be put in its place, see `put_dc`.
static inline __attribute__((always_inline)) bool begin_block(Lane& lane) {
  Cursor c = lane.cursor;
  const BlockPlan& plan = *lane.block;
  int difference;
  refill(c);
  if (!take_dc(c, *plan.dc, difference)) return lane.cursor = c, fail(lane);
  const Box& box = lane.plan->mcus;
  lane.keep = unsigned(lane.mx - box.x0) < unsigned(box.x1 - box.x0) && unsigned(lane.my - box.y0) < unsigned(box.y1 - box.y0);
  c.ac = plan.ac->fast;
  if (!(lane.keep && plan.side > 1)) lane.begin = c.bits, c.ac = plan.skip;
  lane.cursor = c;
  lane.predictor[plan.component] += difference;
  return true;
}

static inline void put_dc(Lane& lane) { lane.coefficients[0] = int16_t(lane.predictor[lane.block->component]); }

static void enter(Lane& lane, const SegmentJob* job) {
  lane.job = job, lane.mcu = job->first, lane.block = lane.plan->block, lane.mx = job->mx, lane.my = job->my;
  lane.predictor[0] = lane.predictor[1] = lane.predictor[2] = 0;
  lane.cursor.bits = {job->bytes, 0, 0}, lane.stop = job->bytes + job->size + 32;
}

// Begins the AC symbols of a block that was passed over again, one symbol at a time.
static void begin_again(Lane& lane) {
  lane.cursor = {lane.begin, lane.block->ac->fast};
}

// Ends the block in hand and begins the next one, of the next segment where this one is done. False when there is none, or
// when something is wrong.
static bool __attribute__((noinline)) turn(Lane& lane) {
  const Cursor& c = lane.cursor;
  const BlockPlan& block = *lane.block;
  const int end = 63 - room(c);
  const bool early = end >= int(AcTable::kEndSkip);  // EOB has ended the block
  const int k = early ? end - int(AcTable::kEndSkip) : end;
  if (__builtin_expect(k + early > 63, 0)) {  // a full block has no EOB
    if (c.ac == block.ac->fast) return fail(lane);  // a run went past the end
    return begin_again(lane), true;
  }
  if (c.bits.next > lane.stop) return fail(lane);
  const ScanPlan& plan = *lane.plan;
  const bool keep = lane.keep;
  const int mx = lane.mx, my = lane.my;
  // added, not branched to: which block ends an MCU cannot be foreseen in the midst of so many other branches
  lane.block = block.next, lane.mcu += block.ends, lane.mx += block.ends;
  if (__builtin_expect(lane.mx == plan.mcus_x, 0)) lane.mx = 0, lane.my++;
  bool more = true;
  if (__builtin_expect(lane.mcu == lane.job->last, 0)) {
    if (spare_bits(lane) < 0) return fail(lane);
    if (lane.job->whole && spare_bits(lane) >= 8) return lane.wrong = kLong, false;
    if (lane.queue->next == lane.queue->last) more = false;
    else enter(lane, lane.queue->next++);
  }
  more = more && begin_block(lane);  // before the pixels: its symbols are waited for, they are not
  if (keep) place_block(plan, block, mx, my, lane.coefficients, k);
  clear(lane.coefficients);
  put_dc(lane);
  return more;
}

// Note [three at a time]: the length of each code decides where the next one begins, so one stream keeps the processor waiting.
// Restart segments are independent, and so are images: three streams, symbol by symbol in turn, fill the gaps (a fourth gains
// nothing more). A lane that ends its segment continues with the next one of its image, and stops when there is none.
// Every loop over lanes is unrolled, so that cursors can be registers.

// A symbol of each lane, again and again, until a block ends; as many as a refill serves. The lane where something is wrong, or -1.
template <int kLanes>
static inline __attribute__((always_inline)) int take_symbols(Cursor* c, Lane* lanes) {
#pragma GCC unroll 4
  for (int symbol = 0; symbol < 4; symbol++) {
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; i++) {
      uint64_t entry;
      if (!take_ac(c[i], lanes[i], entry)) return fail(lanes[i]), i;
    }
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; i++)
      if (room(c[i]) <= 0) return -1;
  }
  return -1;
}

// Decodes with so many lanes until one stops, and returns which. Another's block may have ended then, too: the next call turns it.
template <int kLanes>
static int run_together(Lane* lanes) {
  Cursor c[kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < kLanes; i++) c[i] = lanes[i].cursor;
  for (;;) {
    int stopped = -1;
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; i++)
      if (stopped < 0 && room(c[i]) <= 0) {
        lanes[i].cursor = c[i];
        if (!turn(lanes[i])) stopped = i;
        c[i] = lanes[i].cursor;
      }
    if (stopped < 0) {
#pragma GCC unroll 4
      for (int i = 0; i < kLanes; i++) refill(c[i]);
      stopped = take_symbols<kLanes>(c, lanes);
    }
    if (stopped >= 0) {
#pragma GCC unroll 4
      for (int i = 0; i < kLanes; i++) lanes[i].cursor = c[i];
      return stopped;
    }
  }
}

static int run_lanes(Lane* lanes, int count) {
  static_assert(kMostLanes == 3);
  return count == 3 ? run_together<3>(lanes) : count == 2 ? run_together<2>(lanes) : run_together<1>(lanes);
}

static bool start_lane(Lane& lane, const ScanPlan& plan, SegmentQueue& queue) {
  std::memset(lane.coefficients, 0, sizeof lane.coefficients);
  lane.plan = &plan, lane.queue = &queue, lane.wrong = nullptr, lane.cursor = {};
  enter(lane, queue.next++);
  const bool good = begin_block(lane);
  put_dc(lane);
  return good;
}

}  // namespace ET_BUILD
}  // namespace et
