// The 32-bit check of a run of bytes that stands in a record's table, one for its headers and one for each MCU row.
#pragma once
#include "simd/loops.h"

namespace et {

// A flipped bit in entropy-coded data mostly decodes to something, so only a check sees it; and since the loader reads the rows
// under the crop and no others, each row has one of its own. See row_check_loop.h.
inline uint32_t row_check(const uint8_t* bytes, size_t size) { return loops().check(bytes, size); }

// Bytes of the table of `rows` MCU rows: row_check of the offsets and the JPEG's headers, row_check of each row, then the rows'
// offsets; all uint32. The JPEG follows.
inline size_t table_bytes(size_t rows) { return rows ? 4 * (2 * rows + 1) : 0; }

}  // namespace et
