// Pixels -> a JPEG as a reduced level is stored: baseline, 4:4:4 or grey, quantised evenly, but not finer than its source.
#pragma once
#include "encode/scan_writer.h"

namespace et {

// source: the header of the JPEG that the planes were decoded from: no table is finer than its own (Note [the source's own
// steps]). planes: `count` of them, row-major, one behind the other; RGB ones are turned into YCbCr in place. quality: 1 to
// 100. segment: wanted distance of restart markers, MCUs. Fills the scan, and the header that it belongs to.
bool encode_level(const Header& source, uint8_t* planes, int count, Color, int width, int height, int quality, int segment,
                  Buffer& memory, Header&, Scan&, Error&);

}  // namespace et
