// The part of a JPEG that holds a box, as a JPEG of its own.
#pragma once
#include "jpeg/planes.h"

namespace et {

// Whether it can be cut: baseline, with restart markers that divide its MCU rows.
bool cuttable(const Header&);

// `head` is where the JPEG's bytes begin: its headers are copied. box: x0, y0, x1, y1, pixels. Writes no more than there are
// bytes of headers and source. origin: x, y of the cut's first pixel.
bool cut(const Header&, const uint8_t* head, const Source&, const int32_t* box, uint8_t* out, size_t& length, int32_t* origin,
         Error&);

}  // namespace et
