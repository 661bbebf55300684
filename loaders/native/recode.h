// Rewrites the entropy-coded part of a JPEG: the same coefficients, with restart markers and the best Huffman tables.
#pragma once
#include "libjpeg.h"

namespace et {

struct Recoded {
  size_t table;   // offset in `out` of the MCU rows' offsets (uint32, one a row, relative to SOI); a multiple of 4
  size_t offset;  // of the JPEG, right behind the table
  size_t size;
  uint32_t head;  // bytes from SOI to the first entropy-coded byte
};

// MCUs a restart segment: a divisor of `mcus_x`, at most 8, whose ratio to `wanted` is nearest to one, among those whose
// markers take no more than 6 % of `bytes`; a whole row where there is none.
int restart_interval(int mcus_x, int mcus_y, size_t bytes, int wanted);

// Appends to `out`. The JPEG must consist of one interleaved Huffman-coded scan; `h` is its header, `interval` divides
// h.mcus_x. JFIF's or Adobe's marker is written where the colours need it, no other metadata.
// `extraneous`: bytes without meaning behind the last MCU that were left out, -1: EOI is missing, nothing else.
bool recode(const uint8_t* jpeg, size_t size, const Header& h, int interval, Bytes& out, Recoded& result, int& extraneous,
            Error&);

}  // namespace et
