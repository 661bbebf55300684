// Note [cutting in JPEG space]: a restart segment can be decoded without its neighbours, so the segments under a box, behind
// a frame header with the box's size and with their markers numbered anew, are a JPEG: any decoder reads it, at the cost
// of the box. At a cut edge a decoder up-samples chroma as if the image ended there, which changes the outermost pixels;
// where the box comes that near, the cut is one segment wider.
#include <algorithm>
#include <cstring>

#include "jpeg/cut.h"

#include "codec.h"
#include "jpeg/markers.h"

namespace et {
namespace {

enum { kReach = 2 };  // pixels from a cut edge that chroma's up-sampling may change

struct Range {
  int first, last;  // [first, last)
};

// Units of `unit` pixels that cover [low, high) of `total` pixels.
Range cover(int low, int high, int unit, int total, int subsampling) {
  const int units = (total + unit - 1) / unit;
  Range r = {low / unit, (high + unit - 1) / unit};
  if (subsampling == 1) return r;
  if (r.first > 0 && low - r.first * unit < kReach) r.first--;
  if (r.last < units && r.last * unit - high < kReach) r.last++;
  // libjpeg up-samples images that are at most two chroma samples wide another way
  if (r.first > 0 && std::min(total, r.last * unit) - r.first * unit <= 2 * subsampling) r.first--;
  return r;
}

void put_u16(uint8_t* at, int v) { at[0] = uint8_t(v >> 8), at[1] = uint8_t(v); }

}  // namespace

bool cuttable(const Header& h) { return h.own && h.restart && h.mcus_x % h.restart == 0; }

bool cut(const Header& h, const uint8_t* head, const Source& source, const int32_t* box, uint8_t* out, size_t& length,
         int32_t* origin, Error& e) {
  if (!h.own) return e.set(ET_UNSUPPORTED, "cutting needs a baseline JPEG of one scan");
  if (!cuttable(h))
    return e.set(ET_UNSUPPORTED, "cutting needs restart markers that divide a row of %d MCUs, these are %d apart", h.mcus_x,
                 h.restart);
  if (!(0 <= box[0] && box[0] < box[2] && box[2] <= h.width && 0 <= box[1] && box[1] < box[3] && box[3] <= h.height))
    return e.set(ET_BAD_ARGUMENT, "box %d %d %d %d is not inside %d x %d pixels", box[0], box[1], box[2], box[3], h.width,
                 h.height);
  const int wide = h.restart * h.mcu_w, per_row = h.mcus_x / h.restart;
  const Range columns = cover(box[0], box[2], wide, h.width, h.hmax);
  const Range rows = cover(box[1], box[3], h.mcu_h, h.height, h.vmax);
  origin[0] = columns.first * wide, origin[1] = rows.first * h.mcu_h;

  if (source.rows && (rows.first < source.first_row || rows.last > source.first_row + source.row_count))
    return e.set(ET_BAD_ARGUMENT, "MCU rows %d to %d were not read", rows.first, rows.last);

  std::memcpy(out, head, h.head);
  put_u16(out + h.sof + 5, std::min(h.height, rows.last * h.mcu_h) - origin[1]);
  put_u16(out + h.sof + 7, std::min(h.width, columns.last * wide) - origin[0]);
  uint8_t* to = out + h.head;
  const uint8_t *at = source.scan, *const end = source.scan + source.size;
  int kept = 0;
  for (int row = source.rows ? rows.first : 0; row < rows.last; row++) {  // without a table the rows above must be walked
    if (source.rows) {
      const uint8_t* there = source.scan + source.rows[row - source.first_row];
      if (there < at) return e.set(ET_DAMAGED, "MCU row %d begins inside the row before it", row);  // each byte at most once
      at = there;
    }
    const int stop_at = source.rows || row + 1 == rows.last ? columns.last : per_row;
    for (int column = 0; column < stop_at; column++) {
      const int s = row * per_row + column;
      const Marker marker = next_marker(at, end);
      const bool final = s + 1 == per_row * h.mcus_y;  // any marker may follow the last MCU of all
      const int wanted = final ? int(kEoi) : kRst0 | (s & 7);
      if (!marker.code || (!final && marker.code != wanted))
        return e.set(ET_DAMAGED, "restart segment %d does not end with marker ff%02x", s, wanted);
      if (row >= rows.first && column >= columns.first && column < columns.last) {
        const bool last = row + 1 == rows.last && column + 1 == columns.last;
        std::memcpy(to, at, marker.begin - at), to += marker.begin - at;
        *to++ = 0xFF, *to++ = last ? 0xD9 : uint8_t(0xD0 | (kept++ & 7));
      }
      at = marker.end;
    }
  }
  length = to - out;
  return true;
}

}  // namespace et

int32_t et_cut(const uint8_t* jpeg, size_t size, const int32_t* box, uint8_t* out, size_t capacity, size_t* length,
               int32_t* origin, char* message) {
  et::Error error;
  et::Header h;
  if (capacity < size)
    error.set(ET_BAD_ARGUMENT, "%zu bytes may not hold a cut of %zu", capacity, size);
  else if (et::parse_header(jpeg, size, h, error))
    et::cut(h, jpeg, {jpeg + h.head, size - h.head, 0, nullptr, 0}, box, out, *length, origin, error);
  std::memcpy(message, error.text, ET_MESSAGE);
  return error.status;
}
