// Everything in Hot, for the instruction set that the including file switched on. See Note [one source, several builds].

namespace et {
namespace ET_BUILD {

static inline int16_t saturate(int v) { return v < -32768 ? -32768 : v > 32767 ? 32767 : int16_t(v); }

#include "entropy.inl"
#include "idct.inl"
#include "fdct.inl"
#include "weights.inl"
#include "weigh.inl"

// A block of the MCU at (mx, my), whose last coefficient that is not 0 stands at zigzag position `last`.
static inline void place_block(const ScanPlan& plan, const BlockPlan& block, int mx, int my, const int16_t* coefficients,
                               int last) {
  const int side = block.side, stride = int(block.stride);
  uint8_t* const out = block.at(mx, my);
  if (side == 8 && last >= 10) return idct8<false>(coefficients, block.quant, out, stride);
  if (side == 8 && last > 0) return idct8<true>(coefficients, block.quant, out, stride);
  const int dc = coefficients[0] * block.quant[0];
  if (side == 8) return flat8(int16_t(dc), out, stride);
  if (side > 1) return last ? idct_reduced(coefficients, block.quant, side, out, stride) : flat(int16_t(dc), side, out, stride);
  const int c = block.component;
  *plan.planes->plane[c].at(mx * plan.per_mcu_x[c] + block.x, my * plan.per_mcu_y[c] + block.y) = idct1(dc);
}

static inline void clear(int16_t* coefficients) {  // in pieces: one call would become `rep stos`
#pragma GCC unroll 4
  for (int i = 0; i < 64; i += 16) *(h16_at*)(coefficients + i) = h16{};
}

#include "tokens.inl"

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
  if (unsigned(lane.mx - box.x0) < unsigned(box.x1 - box.x0) && unsigned(lane.my - box.y0) < unsigned(box.y1 - box.y0)) {
    place_block(plan, block, lane.mx, lane.my, lane.coefficients, k & (AcTable::kEndSkip - 1));
  }
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

// Note [two at a time]: each code's length decides where the next one begins, so one stream keeps the processor waiting.
// Restart segments are independent: two of them, symbol by symbol in turn, fill the gaps. A lane that ends its segment goes on
// with the next one that nobody has; the other's symbols carry on meanwhile.
static const char* decode_segments(const ScanPlan& plan, const SegmentJob* jobs, int count, int& which) {
  const SegmentJob *next = jobs, *last = jobs + count;
  Lane x, y;
  for (Lane* lane : {&x, &y}) {
    std::memset(lane->coefficients, 0, sizeof lane->coefficients);
    lane->plan = &plan, lane->wrong = nullptr, lane->job = nullptr, lane->cursor = {};
  }
  const auto start = [&](Lane& lane) {
    if (next == last) return false;
    lane.enter(next++);
    return begin_block(lane);
  };
  bool running_x = start(x), running_y = start(y);
  if (running_x && running_y) {
    Cursor a = x.cursor, b = y.cursor;
    for (;;) {
      refill(a);
      refill(b);
      if (!take_ac(a, x) || !take_ac(b, y)) break;
      if (a.room() > 0 && b.room() > 0) {
        if (!take_ac(a, x) || !take_ac(b, y)) break;
        if (a.room() > 0 && b.room() > 0) {
          if (!take_ac(a, x) || !take_ac(b, y)) break;
          if (a.room() > 0 && b.room() > 0 && (!take_ac(a, x) || !take_ac(b, y))) break;
        }
      }
      if (a.room() <= 0) {
        x.cursor = a;
        running_x = turn(x, next, last);
        a = x.cursor;
        if (!running_x) break;
      }
      if (b.room() <= 0) {
        y.cursor = b;
        running_y = turn(y, next, last);
        b = y.cursor;
        if (!running_y) break;
      }
    }
    x.cursor = a, y.cursor = b;
  }
  for (Lane* lane : {&x, &y}) {
    bool running = lane == &x ? running_x : running_y;
    Cursor c = lane->cursor;
    while (running && !x.wrong && !y.wrong) {
      refill(c);
      bool good = true;
      for (int more = 4; good && more && c.room() > 0; more--) good = take_ac(c, *lane);
      if (!good) break;
      if (c.room() <= 0) {
        lane->cursor = c;
        running = turn(*lane, next, last);
        c = lane->cursor;
      }
    }
    if (lane->wrong) return which = int(lane->job - jobs), lane->wrong;
  }
  return nullptr;
}

const Hot kHot = {ET_BUILD_NAME, build_ac,  build_dc,  decode_segments, weights,
                  weigh<8>,      weigh<14>, transpose, ycc_to_rgb,      to_u8,
                  read_tokens,   write_tokens, forward8, tokens_of};

}  // namespace ET_BUILD
}  // namespace et
