// The one walk over a JPEG's markers (ITU T.81 B.1.1.2): its segments, its entropy-coded data, and what follows the last MCU.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace et {

enum : int { kRst0 = 0xD0, kRst7 = 0xD7, kSoi = 0xD8, kEoi = 0xD9, kSos = 0xDA, kDht = 0xC4 };

struct Marker {
  const uint8_t* begin;  // its first ff; fill bytes (further ff) are part of it
  const uint8_t* end;    // the byte behind its code
  int code;              // 0: no more markers, and begin == end == the end of the bytes
};

// The next marker at or after `at`. Skips stray bytes, entropy-coded data and stuffed ff00. Calls take(from, size) for each
// run of the bytes passed, without stuffing.
template <class Take>
inline Marker next_marker(const uint8_t* at, const uint8_t* end, const Take& take) {
  for (;;) {
    const uint8_t* ff = at < end ? static_cast<const uint8_t*>(std::memchr(at, 0xFF, end - at)) : nullptr;
    take(at, size_t((ff ? ff : end) - at));
    if (!ff) return {end, end, 0};
    const uint8_t* code = ff;
    while (code < end && *code == 0xFF) code++;
    if (code == end) return {end, end, 0};
    if (*code) return {ff, code + 1, *code};
    take(ff, size_t(1));
    at = code + 1;
  }
}

inline Marker next_marker(const uint8_t* at, const uint8_t* end) {
  return next_marker(at, end, [](const uint8_t*, size_t) {});
}

// Whether a length and as many bytes follow the marker.
inline bool has_segment(int code) { return code > 1 && !(code >= kRst0 && code <= kEoi); }

// What stands between a scan's last MCU and EOI, or the end of the file where EOI is missing. Cameras and editors write
// restart markers, comments, DNL or stray bytes there. No pixel depends on them.
struct Tail {
  size_t bytes = 0;  // all of it, markers included
  int markers = 0;   // markers among it
  int first = 0;     // code of the first of them
  bool eoi = false;
};

// `at`: the first byte behind the last MCU's.
inline Tail read_tail(const uint8_t* at, const uint8_t* end) {
  Tail tail;
  const uint8_t* const begin = at;
  for (;;) {
    const Marker marker = next_marker(at, end);
    tail.bytes = marker.begin - begin, tail.eoi = marker.code == kEoi;
    if (!marker.code || tail.eoi) return tail;
    if (!tail.markers++) tail.first = marker.code;
    at = marker.end;
    if (!has_segment(marker.code)) continue;
    const size_t length = end - at >= 2 ? size_t(at[0]) << 8 | at[1] : 0;
    if (length >= 2) at = length < size_t(end - at) ? at + length : end;
  }
}

}  // namespace et
