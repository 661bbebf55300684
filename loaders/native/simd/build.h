// All inner loops of one build, for the instruction set that the including file has switched on. That file includes loops.h and
// the standard headers first, so that nothing in those is compiled for that instruction set. See Note [one source, several
// builds] in loops.h.
#pragma once
#include "augment/augment_loops.h"
#include "augment/low_pass_loops.h"
#include "augment/value_loops.h"
#include "encode/fdct.h"
#include "encode/token_loops.h"
#include "jpeg/progressive_loops.h"
#include "jpeg/row_check_loop.h"
#include "jpeg/segments.h"
#include "jpeg/unstuff_loop.h"
#include "resample/weighted_sums.h"
#include "resample/weights.h"
#include "simd/loops.h"

namespace et {
namespace ET_BUILD {

const Loops kLoops = {ET_BUILD_NAME, build_ac,  build_dc,  build_skip, copy_to_marker, start_lane, run_lanes,
                  read_progressive, place_coefficients, weights,
                  weigh<8>,      weigh<14>, transpose, ycc_to_rgb,      to_u8,
                  read_tokens,   write_tokens, forward8, tokens_of,
                  count_levels,  level_range, grey_sum, map_levels, color, sharpen,
                  pair_pixels,   truncate_q6, transpose_levels, frame_pixels, move_pixels,
                  level_values<uint8_t>, level_values<uint16_t>, level_values<uint32_t>, weigh_rows,
                  fold_levels,   fold_line,   unfold_line,      round_levels, multiply, check};

}  // namespace ET_BUILD
}  // namespace et
