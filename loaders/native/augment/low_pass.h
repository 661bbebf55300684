// Pictures of B x B pixels to smaller ones that hold their low frequencies, while they are in cache: the published order, in
// which augmentation comes before. The filters are those of loaders/transforms/low_frequency.py.
#pragma once
#include "jpeg/planes.h"

namespace et {

// Makes of three planes of side * side levels, which lie in `pixels`, three planes of low.side * low.side levels. They lie in
// memory of `s`; null when memory is out. At least 16 * side + 64 bytes behind `pixels` must be readable.
const uint8_t* low_pass(const EtLowPass& low, int side, const uint8_t* pixels, Scratch& s, Error&);

// The same, but normalised floats, into `out`.
bool low_pass_values(const EtLowPass& low, int side, const uint8_t* pixels, bool channels_last, float* out, Scratch& s, Error&);

}  // namespace et
