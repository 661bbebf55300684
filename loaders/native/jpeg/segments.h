// Decodes restart segments to pixels, several at once.
#pragma once
#include "jpeg/entropy.h"
#include "jpeg/idct.h"

namespace et {
namespace ET_BUILD {

// Ends the block in hand and begins the next one, of the next segment where this one is done. False when there is none, or
// when something is wrong.
static bool __attribute__((noinline)) turn(Lane& lane, const SegmentJob*& next, const SegmentJob* last) {
  const Cursor& c = lane.cursor;
  const int k = 63 - c.room();  // kEndSkip more where EOB has ended the block
  if (k > 63 && k < int(AcTable::kEndSkip)) return lane.fail();  // a run went past the end
  if (c.bits.next > lane.stop) return lane.fail();
  const ScanPlan& plan = *lane.plan;
  const BlockPlan& block = *lane.block;
  const Box& box = plan.mcus;
  if (unsigned(lane.mx - box.x0) < unsigned(box.x1 - box.x0) && unsigned(lane.my - box.y0) < unsigned(box.y1 - box.y0))
    place_block(plan, block, lane.mx, lane.my, lane.coefficients, k & (AcTable::kEndSkip - 1));
  clear(lane.coefficients);
  // added, not branched to: which block ends an MCU cannot be foreseen in the midst of so many other branches
  lane.block = block.next, lane.mcu += block.ends, lane.mx += block.ends;
  if (__builtin_expect(lane.mx == plan.mcus_x, 0)) lane.mx = 0, lane.my++;
  if (__builtin_expect(lane.mcu == lane.job->last, 0)) {
    if (lane.spare() < 0) return lane.fail();
    if (lane.job->whole && lane.spare() >= 8) return lane.wrong = kLong, false;
    if (next == last) return false;
    lane.enter(next++);
  }
  return begin_block(lane);
}

// Note [three at a time]: each code's length decides where the next one begins, so one stream keeps the processor waiting.
// Restart segments are independent: three of them, symbol by symbol in turn, fill the gaps (a fourth gains nothing more). A lane
// that ends its segment goes on with the next one that nobody has, and stops when there is none; the others carry on meanwhile.
// Every loop over lanes is unrolled, so that cursors can be registers.
enum { kMostLanes = 3 };

// A symbol of each lane, again and again, until a block ends; as many as a refill serves. The lane where something is wrong, or -1.
template <int kLanes>
static inline __attribute__((always_inline)) int take_symbols(Cursor* c, Lane* lanes) {
#pragma GCC unroll 4
  for (int symbol = 0; symbol < 4; symbol++) {
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; i++)
      if (!take_ac(c[i], lanes[i])) return i;
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; i++)
      if (c[i].room() <= 0) return -1;
  }
  return -1;
}

// Decodes with so many lanes until one stops, and returns which. Another's block may have ended then, too: the next call turns it.
template <int kLanes>
static int run_together(Lane* lanes, const SegmentJob*& next, const SegmentJob* last) {
  Cursor c[kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < kLanes; i++) c[i] = lanes[i].cursor;
  for (;;) {
    int stopped = -1;
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; i++)
      if (stopped < 0 && c[i].room() <= 0) {
        lanes[i].cursor = c[i];
        if (!turn(lanes[i], next, last)) stopped = i;
        c[i] = lanes[i].cursor;
      }
    if (stopped >= 0) {
#pragma GCC unroll 4
      for (int i = 0; i < kLanes; i++) lanes[i].cursor = c[i];
      return stopped;
    }
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; i++) refill(c[i]);
    stopped = take_symbols<kLanes>(c, lanes);
    if (stopped >= 0) return stopped;
  }
}

static const char* decode_segments(const ScanPlan& plan, const SegmentJob* jobs, int count, int& which) {
  const SegmentJob *next = jobs, *last = jobs + count;
  Lane lanes[kMostLanes];
  int running = 0, stopped = 0;
  for (; running < kMostLanes && next != last; running++) {
    Lane& lane = lanes[running];
    std::memset(lane.coefficients, 0, sizeof lane.coefficients);
    lane.plan = &plan, lane.wrong = nullptr, lane.cursor = {};
    lane.enter(next++);
    if (!begin_block(lane)) return which = int(lane.job - jobs), lane.wrong;
  }
  static_assert(kMostLanes == 3);
  for (; running; lanes[stopped] = lanes[--running]) {
    stopped = running == 3   ? run_together<3>(lanes, next, last)
              : running == 2 ? run_together<2>(lanes, next, last)
                             : run_together<1>(lanes, next, last);
    if (lanes[stopped].wrong) return which = int(lanes[stopped].job - jobs), lanes[stopped].wrong;
  }
  return nullptr;
}

}  // namespace ET_BUILD
}  // namespace et
