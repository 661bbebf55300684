// Everything in Hot, for the instruction set that the including file switched on. See Note [one source, several builds].

namespace et {
namespace ET_BUILD {

static inline int16_t saturate(int v) { return v < -32768 ? -32768 : v > 32767 ? 32767 : int16_t(v); }

#include "entropy.inl"
#include "idct.inl"
#include "weigh.inl"

static inline void place_block(const ScanPlan& plan, int b, int mx, int my, const Block& block) {
  const int component = plan.block[b].component, side = plan.dct[component];
  const Plane& plane = plan.planes->plane[component];
  uint8_t* out = plane.at((mx * plan.per_mcu_x[component] + plan.bx[b]) * side, (my * plan.per_mcu_y[component] + plan.by[b]) * side);
  if (block.last() == 0 || side == 1) idct_flat(block.out[0], side, out, plane.stride);
  else if (side == 8 && block.last() < 10) idct8<true>(block.out, out, plane.stride);
  else if (side == 8) idct8<false>(block.out, out, plane.stride);
  else idct_reduced(block.out, side, out, plane.stride);
  for (int i = 0; i < 64; i += 16) std::memset(block.out + i, 0, 32);  // in pieces: one call would become `rep stos`
}

static const char kNoCode[] = "a Huffman code that no table has", kShort[] = "the coded data end too early",
                  kLong[] = "coded data are left over";

// A segment being decoded; `base` is where both of a pair count their bits from.
struct Stream {
  Bits bits;
  uint64_t end, limit;  // in bits: of the segment, and how far behind it a damaged one may run before it is stopped
  int predictor[3], mx, my;
  alignas(32) int16_t coefficients[80];
  Block block;

  Stream(const ScanPlan& plan, const SegmentJob& job, const uint8_t* base)
      : bits{uint64_t(job.bytes - base) * 8, 0}, end(bits.at + job.size * 8), limit(end + 128), predictor{0, 0, 0},
        mx(job.first % plan.mcus_x), my(job.first / plan.mcus_x), coefficients{}, block{0, coefficients} {}
  bool kept(const ScanPlan& plan) const {
    return mx >= plan.mcus.x0 && mx < plan.mcus.x1 && my >= plan.mcus.y0 && my < plan.mcus.y1;
  }
  void next(const ScanPlan& plan) {
    if (++mx == plan.mcus_x) mx = 0, my++;
  }
  const char* failed() const { return bits.at > end ? kShort : kNoCode; }
  const char* finish(bool whole) const { return bits.at > end ? kShort : whole && end - bits.at >= 8 ? kLong : nullptr; }
};

static const char* decode_segment(const ScanPlan& plan, const SegmentJob& job) {
  const uint8_t* base = job.bytes;
  Stream s(plan, job, base);
  for (int m = job.first; m < job.last; m++, s.next(plan)) {
    const bool keep = s.kept(plan);
    for (int b = 0; b < plan.blocks; b++) {
      const BlockPlan& block = plan.block[b];
      int& predictor = s.predictor[block.component];
      if (!(keep ? decode_block<true>(base, s.bits, block, predictor, s.block)
                 : decode_block<false>(base, s.bits, block, predictor, s.block)))
        return s.failed();
      if (s.bits.at > s.limit) return kShort;
      if (keep) place_block(plan, b, s.mx, s.my, s.block);
    }
  }
  return s.finish(job.whole);
}

static const char* decode_segments(const ScanPlan& plan, const SegmentJob& one, const SegmentJob& two) {
  const uint8_t* base = one.bytes;  // `two` lies behind it in the same memory
  Stream s(plan, one, base), t(plan, two, base);
  for (int m = one.first; m < one.last; m++, s.next(plan), t.next(plan)) {
    const bool keep = s.kept(plan);  // and so is t, which lies right below
    for (int b = 0; b < plan.blocks; b++) {
      const BlockPlan& block = plan.block[b];
      int &p = s.predictor[block.component], &q = t.predictor[block.component];
      if (!(keep ? decode_two<true>(base, s.bits, t.bits, block, p, q, s.block, t.block)
                 : decode_two<false>(base, s.bits, t.bits, block, p, q, s.block, t.block)))
        return s.failed() == kShort ? kShort : t.failed();
      if (s.bits.at > s.limit || t.bits.at > t.limit) return kShort;
      if (keep) {
        place_block(plan, b, s.mx, s.my, s.block);
        place_block(plan, b, t.mx, t.my, t.block);
      }
    }
  }
  const char* wrong = s.finish(one.whole);
  return wrong ? wrong : t.finish(two.whole);
}

const Hot kHot = {ET_BUILD_NAME, build_ac, build_dc,  decode_segment, decode_segments, look_up,
                  quantise,      weigh<8>, weigh<14>, transpose,      ycc_to_rgb,      to_u8};

}  // namespace ET_BUILD
}  // namespace et
