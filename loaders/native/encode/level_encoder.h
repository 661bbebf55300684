// Pixels -> a JPEG as a reduced level is stored: baseline, 4:4:4 or grey, quantised evenly.
#pragma once
#include "encode/scan_writer.h"

namespace et {

// planes: `count` of them, row-major, one behind the other; RGB ones are turned into YCbCr in place. `quality` is 1 to 100;
// restart markers are to stand about every `segment` MCUs. Fills the scan, and the header that it belongs to.
bool encode_level(uint8_t* planes, int count, Color, int width, int height, int quality, int segment, Buffer& memory,
                  Header&, Scan&, Error&);

}  // namespace et
