// From a resampled image to the batch's pixels: augmented, normalised, erased.
#pragma once
#include "jpeg/planes.h"

namespace et {

// Side of the delivered images, pixels.
inline int output_side(const EtBatch& b) { return b.augment.low_pass ? b.augment.low_pass->side : b.side; }

// Bytes of one delivered sample.
inline size_t output_bytes(const EtBatch& b) { return size_t(3) * output_side(b) * output_side(b) * b.element; }

// Memory for the resampled image: the sample's place in the batch, `out`, if no step follows, else memory of `s`; null when
// memory is out.
uint8_t* place_for(const EtBatch&, uint8_t* out, Scratch& s);

// Finishes sample `i`, whose three planes lie in `pixels`, into `out`.
bool deliver(const EtBatch&, int64_t i, const uint8_t* pixels, uint8_t* out, Scratch&, Error&);

}  // namespace et
