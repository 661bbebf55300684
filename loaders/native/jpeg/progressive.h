// Our own decoder of progressive JPEGs.
#pragma once
#include "jpeg/planes.h"

namespace et {

// Decodes what the region (pixels of the scaled image, x0 and y0 even) needs, to the pixels of a baseline JPEG with the same
// coefficients. False, and nothing is said: this is no sound, usual progressive JPEG, and libjpeg decides what it is.
bool decode_progressive(const Header&, const uint8_t* jpeg, size_t size, Box region, int scale, Scratch&, Planes&);

}  // namespace et
