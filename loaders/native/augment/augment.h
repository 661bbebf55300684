// RandAugment's operations on one image while it is in cache: 8-bit planes in, 8-bit planes out.
#pragma once
#include "jpeg/planes.h"

namespace et {

// The operations; the numbers are those of `Op` in loaders/transforms/randaugment_ops.py. Those before kColor replace levels by
// levels, one table a channel.
enum Operation : int32_t {
  kNone = -1, kAutoContrast, kEqualize, kInvert, kPosterize, kSolarize, kSolarizeAdd, kContrast, kBrightness,
  kColor, kSharpness, kRotate, kShearX, kTranslateX, kShearY, kTranslateY, kOperations
};

// An image on its way through the operations: three planes of side * side levels, row by row.
//
// Note [pending levels]: a table costs a pass over the image, so it waits for the next pass, and is composed with the tables
// that follow. The last one goes into the look-up that normalises, and then costs nothing.
struct Image {
  const uint8_t* pixels;
  int memory;            // which of the scratch's two was written to last
  bool pending;          // whether levels are still to be replaced by those of `table`
  uint8_t table[3][256];
};

// Bytes of three planes, with those that loops read behind them.
inline size_t held_bytes(int side) { return size_t(3) * side * side + size_t(16) * side + 64; }

// Carries out the `steps` operations on an image of side * side pixels, which lies in `from`. What they write lies in `last` where
// an operation before the last table wrote it and `last` is not null, else in memory of `s`.
bool augment(const EtOperation* operations, int steps, const EtAugment&, int side, const uint8_t* from, uint8_t* last, Scratch&,
             Image&, Error&);

// Applies the pending levels.
bool settle(Image&, int side, Scratch&, Error&);

}  // namespace et
