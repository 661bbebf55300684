// Rewrites the entropy-coded part of a JPEG: the same coefficients, with restart markers and the best Huffman tables.
#pragma once
#include "jpeg/markers.h"
#include "encode/tokens.h"

namespace et {

struct ScanPlan;

struct Recoded {
  size_t table;   // offset in `out` of the table (see row_check.h); a multiple of 4
  size_t offset;  // of the JPEG, right behind the table
  size_t size;
  uint32_t head;  // bytes from SOI to the first entropy-coded byte
};

// MCUs a restart segment: a divisor of `mcus_x`, at most 8, whose ratio to `wanted` is nearest to one, among those whose
// markers take no more than 6 % of `bytes`; a whole row where there is none.
int restart_interval(int mcus_x, int mcus_y, size_t bytes, int wanted);

// A scan as its symbols, and what is needed to write it.
struct Scan {
  Buffer segment;         // bytes of the restart segment being read
  Tokens tokens;
  Bytes ends;             // size_t a restart segment: how many tokens there are up to its end
  uint32_t counts[kTables * 256];  // how often each symbol stands in `tokens`
  int interval;           // MCUs a restart segment
  size_t segments;

  // Empties it for an image; false when memory is out.
  bool begin(const Header& h, int restart, Error&);
  size_t* end_of(size_t segment) { return reinterpret_cast<size_t*>(ends.data()) + segment; }
};

// Reads the one interleaved Huffman-coded scan of a JPEG whose header is `h`; `interval` divides h.mcus_x.
// draw: where the pixels go (see plan_pixels), or null. tail: what follows the last MCU.
bool read_scan(const uint8_t* jpeg, size_t size, const Header& h, int interval, const ScanPlan* draw, Scan&, Tail& tail,
               Error&);

// Appends it to `out` behind a header made of `h`. JFIF's or Adobe's marker is written where the colours need it, no other
// metadata.
bool write_scan(const Header& h, Scan&, Bytes& out, Recoded&, Error&);

}  // namespace et
